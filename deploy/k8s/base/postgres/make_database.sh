#!/bin/sh
# Runs once, over an empty volume: the service's role (no superuser), its database, and the extension that it searches by.
set -eu
psql --no-psqlrc --set=ON_ERROR_STOP=1 --set=password="$ASKGRAPH_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE askgraph LOGIN PASSWORD :'password';
CREATE DATABASE askgraph OWNER askgraph;
REVOKE CONNECT ON DATABASE askgraph FROM PUBLIC;
\connect askgraph
CREATE EXTENSION IF NOT EXISTS vector;
SQL
