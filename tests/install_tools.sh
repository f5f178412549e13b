#!/bin/sh
# What the tests use besides Python: Chromium (pages), axe-core (accessibility), promtool (alert rules).
# Only what is missing is fetched; with all of it there no network is touched. What cannot be had is one line,
# and the tests that need it say its name.
#   tests/install_tools.sh BIN     BIN: the venv's bin folder, where promtool goes
set -u
bin=$1
here=$(cd "$(dirname "$0")" && pwd)
missing=0

has() { command -v "$1" >/dev/null 2>&1; }
want() { echo "tests: $1" >&2; missing=1; }

# A machine that never updated its package lists knows no package: update once, and try again.
twice() { "$@" >/dev/null 2>&1 || { apt-get update -qq >/dev/null 2>&1; "$@" >/dev/null 2>&1; }; }
install_chromium() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 chromium
}
# The package's server would be started as a service, and only one of its programs is wanted: it is unpacked, not installed.
unpack_promtool() (
    folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" &&
        apt-get download -qq prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xf - ./usr/bin/promtool &&
        mv usr/bin/promtool "$target"
)

if [ -z "${CHROMIUM:-}" ] && ! has chromium && ! has chromium-browser; then
    if has apt-get && [ "$(id -u)" = 0 ] && twice install_chromium; then :; else
        want "no Chromium, the tests of pages are skipped: install it (Debian: apt-get install chromium), or set CHROMIUM to one"
    fi
fi

if ! has promtool && ! [ -x "$bin/promtool" ]; then
    target=$(cd "$bin" && pwd)/promtool
    if has apt-get && has dpkg-deb && twice unpack_promtool; then :; else
        want "no promtool, the tests of alert rules are skipped: install Prometheus (Debian: apt-get install prometheus)"
    fi
fi

pinned=$here/browser/package-lock.json
axe=$here/browser/node_modules
if ! cmp -s "$pinned" "$axe/.locked"; then
    if has npm && (cd "$here/browser" && npm ci --ignore-scripts --loglevel=error >/dev/null); then
        cp "$pinned" "$axe/.locked"
    else
        want "no axe-core, the tests of accessibility are skipped: install npm (Debian: apt-get install npm), run make test again"
    fi
fi

exit $missing
