#!/bin/sh
# As in the official image: a folder that cannot be written to stops the start.
set -eu
[ -w . ] || { echo "error: directory is not writable by current user ($(id -u))" >&2; exit 1; }
umask 0077
exec "$@"
