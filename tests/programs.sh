#!/usr/bin/env bash
# Installs the programs that some tests run beside the service, where that is possible: as root, with Debian's apt.
# Elsewhere it says what is missing, and those tests say so too.
set -euo pipefail
missing=()
for program in strace nginx caddy haproxy promtool valgrind curl javac apache2 mod_auth_openidc; do
    PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null && continue
    [ -e "/usr/lib/apache2/modules/$program.so" ] && continue
    # The packages that three of them are in.
    [ "$program" = promtool ] && program=prometheus
    [ "$program" = javac ] && program=default-jdk-headless
    [ "$program" = mod_auth_openidc ] && program=libapache2-mod-auth-openidc
    missing+=("$program")
done
[ "${#missing[@]}" -eq 0 ] && exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "Installing ${missing[*]} ..."
    apt-get update -qq
    # Only the tests start them: a service of the distribution's would take ports of the machine.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${missing[@]}" >/dev/null
else
    echo "Not installed: ${missing[*]}. The tests that need them are left out here; CI runs them all."
fi
