#!/usr/bin/env bash
# Sets up and runs the tests: the fast ones (under 20 minutes), with --all the slow ones too (under 60).
# Further arguments go to pytest: launch/test.sh -k cutmix; -n 0 runs them one after the other.
set -euo pipefail
cd "$(dirname "$0")/.."

marks=(-m "not slow")
if [ "${1:-}" = --all ]; then marks=(); shift; fi
launch/setup.sh cpu
# A process a core; a file's tests stay together, in the order of their names, for the fixtures that they share.
parallel=(-n auto --maxprocesses=8 --dist=loadfile --no-loadscope-reorder)
exec "${S4MIM_VENV:-.venv}/bin/python" -m pytest "${parallel[@]}" "${marks[@]}" "$@"
