#!/bin/sh
# Makes what the compose files keep from strangers: passwords, keys, and the addresses that hold them. What is there
# already stays as it is, so it may be run again; to change a password, see docs/deployment.md.
#   deploy/compose/make_secrets.sh [FOLDER]     FOLDER: deploy/compose/secrets
#
# The folder is closed to others (0700), the files in it are not: containers read them, mounted one by one, as users of
# their own.
set -eu
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"
umask 022

# 32 random bytes as 64 hexadecimal digits: nothing in them means anything in a URL, a shell or a config file.
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
once() { [ -s "$1" ] || { cat >"$1.new" && mv "$1.new" "$1"; }; }
fresh() { cat >"$1.new" && mv "$1.new" "$1"; }

for name in postgres_password valkey_password secret_key operations_token grafana_password; do
    random | once "$name"
done

database=$(cat postgres_password)
valkey=$(cat valkey_password)
environment() { # HOST:PORT of the database, HOST:PORT of Valkey
    echo "SECRET_KEY=$(cat secret_key)"
    echo "OPERATIONS_TOKEN=$(cat operations_token)"
    echo "DATABASE_URL=postgresql://askgraph:$database@$1/askgraph"
    echo "REDIS_URL=redis://:$valkey@$2/0"
}

# Made of the above every time, so that they follow when one of those is changed.
echo "requirepass $valkey" | fresh valkey_auth.conf
echo "\"askgraph\" \"$database\"" | fresh pgbouncer_users.txt
environment postgres:5432 valkey:6379 | fresh app.env
environment pgbouncer:6432 valkey:6379 | fresh pooled.env
environment 127.0.0.1:5432 127.0.0.1:6379 | fresh local.env
