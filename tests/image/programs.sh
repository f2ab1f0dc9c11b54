#!/usr/bin/env bash
# Installs what `make test-image` needs of the system: as root, with Debian's apt. The engines themselves are not
# installed: they live in a folder of their own, which run.sh makes.
set -euo pipefail
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "make test-image needs root on a Debian system." >&2
    exit 1
fi
missing=()
for program in debootstrap unshare setpriv nsenter; do
    command -v "$program" >/dev/null && continue
    [ "$program" = debootstrap ] || program=util-linux # the package that it is in
    missing+=("$program")
done
[ "${#missing[@]}" -eq 0 ] && exit 0
echo "Installing ${missing[*]} ..."
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${missing[@]}" >/dev/null
