#!/bin/sh
# What `make test-deploy` uses besides packages of Python: debootstrap, unpacked from Debian's package and not installed.
# With it there nothing is fetched. Where it cannot be had, one line says so, and the test that needs it is skipped.
#   tests/deploy/install_tools.sh VENV     VENV: where it goes, as VENV/debootstrap
set -u
mkdir -p "$1"
target=$(cd "$1" && pwd)/debootstrap

fetch() (
    folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && chmod 755 "$folder" && cd "$folder" &&
        apt-get download -qq debootstrap && dpkg-deb --extract debootstrap_*.deb unpacked &&
        mkdir -p "$target" && cp -R unpacked/usr/share/debootstrap/. "$target" &&
        cp unpacked/usr/sbin/debootstrap "$target/program"
)

[ -x "$target/program" ] && exit 0
if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
    fetch >/dev/null 2>&1 && exit 0
    apt-get update -qq >/dev/null 2>&1 && fetch >/dev/null 2>&1 && exit 0
fi
echo "tests: no debootstrap, the image's steps are not replayed: a Debian or Ubuntu machine has it" >&2
exit 0
