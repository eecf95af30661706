#!/bin/sh
# Resolve lock.txt (what `twokeys up` runs with) and dev.txt (the same and the tools) anew; $1 is a Python with
# pip-tools. The machine's own pip settings are left out: what is locked must come from where everybody gets it.
set -eu
python=$1
export CUSTOM_COMPILE_COMMAND="make lock" PIP_CONFIG_FILE=/dev/null
unset PIP_FIND_LINKS PIP_INDEX_URL PIP_EXTRA_INDEX_URL
compile() {
    "$python" -m piptools compile -q --generate-hashes --allow-unsafe --strip-extras --build-deps-for editable \
        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host "$@" pyproject.toml
}
compile --extra up --output-file requirements/lock.txt
compile --extra up --extra aws --extra dev --constraint requirements/lock.txt --output-file requirements/dev.txt
