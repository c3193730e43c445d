# Compiles main.cob and what is beside it to `program`. Where a line begins before column 7 with
# anything but its number, the program is in the free format.
set -eu
options=-free
grep -qE '^[^[:space:]0-9*]' main.cob || options=
# In C, which it becomes, there is only one `main`.
! grep -qE 'main[".]' main.cob || options="$options -ffold-call=UPPER"
others=$(ls | grep -E '\.(cob|cbl)$' | grep -vx main.cob || true)
exec cobc -x -O -Wall $options -o program main.cob $others
