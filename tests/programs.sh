#!/usr/bin/env bash
# Lists the programs of the system that some tests run and that are missing, one Debian package and its reason a line.
# Exits with 0 where none is missing; with `install` it installs them as root, with Debian's apt.
set -euo pipefail

# program, Debian package, what tests do with it
programs=(
    "strace strace counts the fsync calls of a commit"
    "valgrind valgrind counts the instructions of a request (make bench-guard)"
    "curl curl runs the examples of the documentation"
    "nginx nginx is a gateway in front of the service (docs/gateways.md)"
    "caddy caddy is a gateway in front of the service (docs/gateways.md)"
    "haproxy haproxy is a gateway in front of the service (docs/gateways.md)"
    "apache2 apache2 is a resource server (docs/oauth-resource-servers.md)"
    "mod_auth_openidc libapache2-mod-auth-openidc is Apache's OAuth client (docs/oauth-resource-servers.md)"
    "promtool prometheus checks the alert rules and the metrics (its promtool)"
    "javac default-jdk-headless runs Java's default HTTP client"
)
missing=()
for entry in "${programs[@]}"; do
    read -r program package reason <<<"$entry"
    PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null && continue
    [ -e "/usr/lib/apache2/modules/$program.so" ] && continue
    missing+=("$package")
    printf '  %-28s %s\n' "$package" "$reason"
done
[ "${#missing[@]}" -eq 0 ] && exit 0
if [ "${1:-}" != install ]; then
    echo "Some tests need these Debian packages, which are missing. \`make test-programs\` installs them."
    exit 1
fi
if [ "$EUID" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "Installing them takes root and apt. By hand: apt-get install --no-install-recommends ${missing[*]}"
    echo "Until then the tests that need them are skipped, and fail where the variable CI is set."
    exit 1
fi
echo "Installing these Debian packages ..."
apt-get update -qq
# Tests start the programs. RUNLEVEL keeps the distribution from starting them as services, on ports of the machine.
RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${missing[@]}" >/dev/null
