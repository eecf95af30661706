#!/bin/sh
# Make the virtual environment $1 from the lock $2, with the checkout in it. Nothing is installed that the lock,
# by hash, does not name.
set -eu
venv=$1
lock=$2

say() { printf '%s\n' "$*" >&2; }

# Prints the interpreter when it is new enough. With "shared" also only when users other than root can run it:
# started as root, `twokeys up` runs its parts as users of their own.
usable() {
    command -v "$1" >/dev/null 2>&1 && "$1" - "$2" <<'PY' 2>/dev/null
import os, stat, sys
if sys.version_info < (3, 11):
    sys.exit(1)
real = os.path.realpath(sys.executable)
folder = os.path.dirname(real)
while sys.argv[1] == "shared" and folder != "/":
    if not os.stat(folder).st_mode & stat.S_IXOTH:
        sys.exit(1)
    folder = os.path.dirname(folder)
print(real)
PY
}

find_python() {
    for kind in shared any; do
        [ "$kind" = any ] || [ "$(id -u)" = 0 ] || continue
        for candidate in ${PYTHON:-} python3 /usr/bin/python3 python3.13 python3.12 python3.11 python; do
            usable "$candidate" "$kind" && return 0
        done
    done
    return 1
}

install_debian() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "Installing $* ..."
        apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
    else
        return 1
    fi
}

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c '' 2>/dev/null; then
    python=$(find_python) || {
        say "No Python 3.11 or newer was found, and nothing was set up."
        say "Install one (Debian: sudo apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3"
        exit 1
    }
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        install_debian "$version" || install_debian python3-venv || {
            say "$python has no venv module, and nothing was set up."
            say "Install it, then try again: sudo apt-get install $version"
            exit 1
        }
    fi
    say "Making $venv with $("$python" --version) ..."
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi
say "Installing what $lock names ..."
"$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r "$lock"
"$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
