#!/bin/sh
# See that what the tests need beside Python is here: installs it as root on Debian, else says what is missing.
set -eu
has() { command -v "$1" >/dev/null 2>&1; }

if ! has chromium; then
    if [ "$(id -u)" = 0 ] && has apt-get; then
        echo "Installing chromium for the browser tests ..." >&2
        apt-get update -qq >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >&2
    else
        echo "chromium is missing: the browser tests need it (Debian: sudo apt-get install chromium)" >&2
    fi
fi
if [ ! -d /usr/lib/postgresql ]; then
    echo "No PostgreSQL of the system: its tests are skipped, the wheel's run (Debian: apt-get install postgresql)" >&2
fi
