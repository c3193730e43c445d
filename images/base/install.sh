# Installs Debian packages, or removes those named with a - behind them and what they brought, and leaves nothing of
# it behind, nor a program with the set-user-id bit: sh /usr/lib/sandbox-runner/install.sh PACKAGE…
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends --auto-remove --purge "$@"
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/* \
  /var/lib/dpkg/*-old /var/log/* /tmp/* /root/.cache
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
