#!/bin/sh
# Every test: side by side first; what failed there once more, alone, since time counts on a busy machine. A run that
# did not come to its end (a worker died, or hangs) is done again whole, on one worker. $1 is the Python, then options.
set -u
python=$1
shift
workers=${WORKERS:-2}
longest=
if command -v timeout >/dev/null 2>&1; then longest="timeout -s INT -k 60 ${LONGEST_SECONDS:-2100}"; fi

$longest "$python" -m pytest -q -n "$workers" --dist loadfile "$@"
case $? in
0) exit 0 ;;
1)
    echo "What failed beside other tests is run once more, alone: what fails again has failed."
    exec "$python" -m pytest -q --last-failed --last-failed-no-failures none "$@"
    ;;
2 | 3 | 124 | 137)
    echo "The run did not come to its end: all of it again, on one worker."
    exec "$python" -m pytest -q "$@"
    ;;
*) exit 1 ;;
esac
