#!/usr/bin/env bash
# Installs the Debian packages of packages.txt as root, or says which are missing. Does nothing when all are there.
set -eu
here=$(dirname "$0")
wanted=$(sed 's/#.*//' "$here/packages.txt" | tr -s ' \n' ' ')
command -v dpkg-query >/dev/null || { echo "not a Debian system: please see to it that these are installed: $wanted"; exit 0; }
missing=""
for package in $wanted; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "missing packages:$missing"; echo "install them: sudo apt-get install$missing"; exit 1
fi
echo "installing Debian packages:$missing"
apt-get update -qq
# Services of the packages must not start on this machine: the lab starts its own.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d.headframe && chmod 755 /usr/sbin/policy-rc.d.headframe
restore() { rm -f /usr/sbin/policy-rc.d.headframe; [ "${linked:-0}" = 1 ] && rm -f /usr/sbin/policy-rc.d; true; }
trap restore EXIT
[ -e /usr/sbin/policy-rc.d ] || { ln -s policy-rc.d.headframe /usr/sbin/policy-rc.d; linked=1; }
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 $missing >/dev/null
