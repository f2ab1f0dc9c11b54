#!/bin/sh
# Runs once, when the PostgreSQL container creates its database: creates a role for Doorward that owns only its database.
set -eu
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    --set=password="$(cat "${DATABASE_PASSWORD_FILE:-/run/secrets/database_password}")" <<'SQL'
CREATE ROLE doorward LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
CREATE DATABASE doorward OWNER doorward ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE doorward FROM PUBLIC;
SQL
