#!/usr/bin/env bash
# Makes .venv with everything that is needed: launch/setup.sh [cpu|tpu|cuda|plan] (default cpu).
# A second call finds its work done. PYTHON=python3.12 chooses the interpreter (3.11 or 3.12).
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-cpu}
case $kind in
  cpu) files="requirements.txt requirements-dev.txt" ;;
  tpu) files="requirements-tpu.txt" ;;
  cuda) files="requirements-gpu.txt" ;;
  plan) files="requirements.txt requirements-plan.txt" ;;
  *) echo "error: launch/setup.sh $kind: valid are cpu, tpu, cuda, plan" >&2; exit 2 ;;
esac

usable() { "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; }
venv=${S4MIM_VENV:-.venv}
if [ ! -x "$venv/bin/python" ]; then
  python=
  for candidate in ${PYTHON:-python3.11 python3.12 python3 python}; do
    if usable "$candidate"; then python=$candidate; break; fi
  done
  if [ -z "$python" ]; then
    echo "error: no Python 3.11 or 3.12 with venv found; install one or set PYTHON=/path/to/python" >&2
    exit 2
  fi
  echo "setup: $("$python" --version) -> $venv"
  "$python" -m venv "$venv" || { rm -rf "$venv"; exit 1; }  # a half-made one would be taken for whole
fi

# The stamp holds what was asked for; pip runs again only when that changes.
arguments=()
for file in $files; do arguments+=(-r "$file"); done
# shellcheck disable=SC2086  # a list of files
wanted="$kind $(cat requirements*.txt pyproject.toml | cksum)"
if [ "$(cat "$venv/.installed" 2>/dev/null)" != "$wanted" ]; then
  echo "setup: installing $files (a few minutes the first time)"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${arguments[@]}"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable .
  "$venv/bin/python" -m pip check --disable-pip-version-check
  echo "$wanted" > "$venv/.installed"
else
  echo "setup: $venv is ready"
fi
