# A shell pipeline: the paths that failed most, as JSON.
#
# Run: sandbox-runner run --file examples/access.log examples/log_report.sh access.log
set -euo pipefail

awk '$4 >= 400 { print $3 }' "$1" |
  sort |
  uniq -c |
  sort -k1,1nr -k2 |
  jq --raw-input --compact-output 'capture("(?<failures>[0-9]+) (?<path>.*)") | .failures |= tonumber'
