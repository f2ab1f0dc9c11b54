#!/bin/sh
# Fills in templates before nginx starts, as the official image does: variables of the environment, and the resolvers.
set -eu
if [ "$1" = nginx ]; then
    if [ -n "${NGINX_ENTRYPOINT_LOCAL_RESOLVERS:-}" ]; then
        NGINX_LOCAL_RESOLVERS=$(awk '$1 == "nameserver" {print $2 ~ ":" ? "[" $2 "]" : $2}' /etc/resolv.conf | paste -sd ' ')
        export NGINX_LOCAL_RESOLVERS
    fi
    names=$(env | cut -d= -f1 | sed 's/.*/${&}/' | paste -sd ' ')
    for template in /etc/nginx/templates/*.template; do
        [ -e "$template" ] || continue
        name=${template##*/}
        envsubst "$names" <"$template" >"${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}/${name%.template}"
    done
fi
exec "$@"
