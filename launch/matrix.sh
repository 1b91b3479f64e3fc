#!/usr/bin/env bash
# Runs the core tests in an environment per pair of Python and JAX: launch/matrix.sh [--check] [PAIR...]
#   PAIR     oldest, 3.11, 3.12, 3.13: a file of constraints/ each; newest is the last of them; none = all
#   --check  leaves the table benchmarks/results/platform.md alone
# UPGRADE=1 takes the newest versions that resolve, and writes constraints/PAIR.txt anew where the tests pass.
# Environments are made in .matrix/PAIR (2.6 GB each) and used again.
set -euo pipefail
cd "$(dirname "$0")/.."

table=benchmarks/results/platform.md
if [ "${1:-}" = --check ]; then table=''; shift; fi
known=(oldest 3.11 3.12 3.13)
pairs=("$@")
[ $# -gt 0 ] || pairs=("${known[@]}")

# The interpreter of a version: on PATH, or among pyenv's.
interpreter() {
  local candidate
  for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
    if "$candidate" -c 'import ensurepip, venv' 2> /dev/null; then echo "$candidate"; return; fi
  done
}

failed=0
for pair in "${pairs[@]}"; do
  if [ "$pair" = newest ]; then pair=${known[-1]}; fi
  case " ${known[*]} " in
    *" $pair "*) ;;
    *) echo "error: launch/matrix.sh $pair: valid are $(printf '%s, ' "${known[@]}")newest" >&2; exit 2 ;;
  esac
  version=$pair
  if [ "$pair" = oldest ]; then version=3.11; fi
  python=$(interpreter "$version")
  if [ -z "$python" ]; then
    echo "matrix: $pair not run: no Python $version here"
    continue
  fi
  venv=.matrix/$pair
  echo "matrix: $pair with $("$python" --version)"
  mkdir -p .matrix
  result=$PWD/.matrix/$pair.xml
  rm -f "$result"
  if ! PYTHON=$python S4MIM_VENV=$venv S4MIM_CONSTRAINTS=constraints/$pair.txt \
       launch/test.sh core --junitxml="$result"; then
    echo "matrix: $pair failed"
    failed=1
  elif [ -n "${UPGRADE:-}" ] && [ "$pair" != oldest ]; then
    # Public versions only; a list of certificates must be today's.
    { echo "# Versions that passed together. Written by UPGRADE=1 launch/matrix.sh $pair; read by launch/setup.sh."
      "$venv/bin/python" -m pip freeze --exclude-editable --disable-pip-version-check |
        grep -E '^[A-Za-z0-9_.-]+==[0-9a-z.]+$' | grep -vE '^(certifi|pip|setuptools|wheel|torch)=='; } > "constraints/$pair.txt"
  fi
  if [ -n "$table" ] && [ -e "$result" ]; then
    hue=$(JAX_PLATFORMS=cpu "$venv/bin/python" tests/hue_by_equality.py | sed 's/.*: \([0-9]*\) of.*/\1/' | paste -sd/)
    "$venv/bin/python" tests/platform_table.py "$table" "$pair" "$result" "$hue"
  fi
done
exit $failed
