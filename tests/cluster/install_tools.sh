#!/bin/sh
# What tests/cluster uses besides Python: iproute2, HAProxy, PgBouncer. Only what is missing is fetched; no service is
# started by installing it. What cannot be had is one line, and the tests say what they miss.
set -u
missing=

has() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }
# Debian starts what it installs unless it is told not to; nothing but this installation is told so.
install() {
    policy=/usr/sbin/policy-rc.d
    test -e "$policy" || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && trap 'rm -f "$policy"' EXIT; }
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"
}
twice() { "$@" >/dev/null 2>&1 || { apt-get update -qq >/dev/null 2>&1; "$@" >/dev/null 2>&1; }; }

has ip || missing="$missing iproute2"
has haproxy || missing="$missing haproxy"
has pgbouncer || missing="$missing pgbouncer"
test -z "$missing" && exit 0
# shellcheck disable=SC2086 # one word a package
if has apt-get && [ "$(id -u)" = 0 ] && twice install $missing; then exit 0; fi
echo "tests: the tests of several hosts are skipped without$missing (Debian: apt-get install$missing)" >&2
exit 1
