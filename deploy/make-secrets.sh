#!/bin/sh
# Generates the random secrets of the compose files and the Kubernetes manifests in a folder:
#   sudo sh deploy/make-secrets.sh [folder, default: secrets] [owner, default: 10001]
# The owner is the user that the containers run as. The script does not change existing secrets.
set -eu
folder=${1:-secrets}
owner=${2:-10001}
umask 077
mkdir -p "$folder"

random() { openssl rand "$@" | tr -d '\n'; }
keep() { [ -s "$folder/$1" ] || cat > "$folder/$1"; }

random -base64 32 | keep jwt_key
random -hex 24 | keep database_admin_password
random -hex 24 | keep database_password
random -hex 24 | keep redis_password
# The private network of a compose project is not visible to others, so it needs no TLS.
printf 'postgresql://doorward:%s@postgres:5432/doorward?sslmode=disable' "$(cat "$folder/database_password")" \
    | keep database_url
printf 'redis://default:%s@valkey:6379?insecure=true' "$(cat "$folder/redis_password")" | keep redis_url
printf 'requirepass %s\nappendonly yes\nappendfsync everysec\nmaxmemory 640mb\nmaxmemory-policy noeviction\ndir /data\n' \
    "$(cat "$folder/redis_password")" | keep valkey.conf
if [ "$(id -u)" = 0 ]; then
    chown -R "$owner:$owner" "$folder"
    # The Valkey image runs as its own user, which owns the data folder.
    chown 999:999 "$folder/valkey.conf"
fi
