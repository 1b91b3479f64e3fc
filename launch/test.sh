#!/usr/bin/env bash
# Sets up and runs the tests: the fast ones (under 20 minutes), with --all the slow ones too (under 60).
# Further arguments go to pytest: launch/test.sh -k cutmix
set -euo pipefail
cd "$(dirname "$0")/.."

marks=(-m "not slow")
if [ "${1:-}" = --all ]; then marks=(); shift; fi
launch/setup.sh cpu
exec "${S4MIM_VENV:-.venv}/bin/python" -m pytest "${marks[@]}" "$@"
