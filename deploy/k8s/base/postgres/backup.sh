#!/bin/sh
# One dump of the database into BACKUP_DIR, and the oldest go so that BACKUPS_KEPT stay. The connection is PGHOST and the
# like. A dump has its name only when it is whole and its table of contents can be read; before that it ends in .part.
set -eu
umask 077
dump="$BACKUP_DIR/askgraph-$(date -u +%Y%m%dT%H%M%SZ).dump"
rm -f "$BACKUP_DIR"/askgraph-*.part
trap 'rm -f "$dump.part"' EXIT
pg_dump --format=custom --no-owner --no-privileges --lock-wait-timeout=60s --file="$dump.part"
tables=$(pg_restore --list "$dump.part" | grep -c ' TABLE DATA ') || true
[ "$tables" -gt 0 ] || { echo "the dump holds no table: not kept" >&2; exit 1; }
mv "$dump.part" "$dump"
# Only now, with a new one there, do old ones go. Names sort as their times do.
printf '%s\n' "$BACKUP_DIR"/askgraph-*.dump | sort -r | tail -n "+$((BACKUPS_KEPT + 1))" | while read -r old; do rm -f "$old"; done
echo "dumped $tables tables, $(wc -c < "$dump") bytes: $dump"
