#!/bin/sh
# See that what the tests need beside Python is here: installs it as root on Debian, else says what is missing.
set -eu
has() { command -v "$1" >/dev/null 2>&1; }

wanted=
has chromium || wanted="chromium fonts-dejavu-core"
has pgbouncer || wanted="$wanted pgbouncer"
[ -n "$(find /usr/lib -path '*/odbc/psqlodbcw.so' 2>/dev/null)" ] || wanted="$wanted odbc-postgresql"
[ -d /usr/share/gocode/src/github.com/jackc/pgx ] || wanted="$wanted golang-github-jackc-pgx-v4-dev"
has go || wanted="$wanted golang-go"
# pgjdbc is tried where there is a Java compiler.
! has javac || [ -f /usr/share/java/postgresql.jar ] || wanted="$wanted libpostgresql-jdbc-java"
if [ -n "$wanted" ]; then
    if [ "$(id -u)" = 0 ] && has apt-get; then
        echo "Installing $wanted for the tests ..." >&2
        apt-get update -qq >&2
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $wanted >&2
    else
        echo "Missing: $wanted. Tests of the browser fail without the first, others are skipped." >&2
        echo "(Debian: sudo apt-get install $wanted)" >&2
    fi
fi
if [ ! -d /usr/lib/postgresql ]; then
    echo "No PostgreSQL of the system: its tests are skipped, the wheel's run (Debian: apt-get install postgresql)" >&2
fi
if has npm && [ ! -d tests/clients/node/node_modules ]; then
    (cd tests/clients/node && npm ci --silent >&2) || echo "node-postgres did not come: its tests are skipped" >&2
fi
