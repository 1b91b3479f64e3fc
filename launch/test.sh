#!/usr/bin/env bash
# Sets up and runs the tests: the fast ones (under 20 minutes), with --all the slow ones too (under 60), with core
# what the platform may change: views, pseudo-labels, terms, the step (under 2).
# What they compile is kept in .pytest_cache, by processor, and found again by the next run.
# Further arguments go to pytest: launch/test.sh -k cutmix; -n 0 runs them one after the other.
set -euo pipefail
cd "$(dirname "$0")/.."

marks=(-m "not slow")
case ${1:-} in
  --all) marks=(); shift ;;
  core) marks=(-m "core and not slow"); shift ;;
esac
launch/setup.sh cpu
# A process a core, at most four, for each holds about 6 GiB in the end. A file's tests stay together, for the
# fixtures that they share; files begin in the order of their names.
parallel=(-n auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder)
exec "${S4MIM_VENV:-.venv}/bin/python" -m pytest "${parallel[@]}" "${marks[@]}" "$@"
