#!/bin/sh
# Puts the dump BACKUP (a name in BACKUP_DIR) in the database's place. It is read into a database beside the old one, whole
# or not at all; then the two change names. The old one stays, as askgraph_before_…, until somebody drops it.
# The connection (PGHOST and the like) is the administrator's. Stop the service first: what it writes meanwhile is lost.
set -eu
umask 077
dump="$BACKUP_DIR/$BACKUP"
contents=$(mktemp)
trap 'rm -f "$contents"' EXIT
# The extension is the administrator's, and made here; the dump's own line would make it as the service's role.
pg_restore --list "$dump" | grep -v ' EXTENSION ' > "$contents"
say() { psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --dbname "$1"; }
echo 'DROP DATABASE IF EXISTS askgraph_restored; CREATE DATABASE askgraph_restored OWNER askgraph;
REVOKE CONNECT ON DATABASE askgraph_restored FROM PUBLIC;' | say postgres
echo 'CREATE EXTENSION IF NOT EXISTS vector;' | say askgraph_restored
pg_restore --role=askgraph --no-owner --no-privileges --single-transaction --exit-on-error \
    --use-list="$contents" --dbname=askgraph_restored "$dump"
old=askgraph_before_$(date -u +%Y%m%d%H%M%S)
# All of it or nothing: where somebody is connected still, the names stay as they are.
say postgres <<SQL
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ('askgraph', 'askgraph_restored') \g /dev/null
BEGIN;
ALTER DATABASE askgraph RENAME TO $old;
ALTER DATABASE askgraph_restored RENAME TO askgraph;
COMMIT;
SQL
echo "restored $BACKUP; what was there before is $old"
