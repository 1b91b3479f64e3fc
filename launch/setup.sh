#!/usr/bin/env bash
# Makes .venv with everything that is needed: launch/setup.sh [cpu|tpu|cuda|plan] (default cpu).
# A second call finds its work done. PYTHON=python3.12 chooses the interpreter; otherwise the newest of 3.11 to 3.14
# that works. Versions are those that passed the tests (constraints/); UPGRADE=1 takes the newest that resolve.
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

# What keeps a candidate from being used, one line; nothing where it works.
missing() {
  command -v "$1" > /dev/null || { echo "not there"; return; }
  "$1" -c '
import sys
version = sys.version_info[:2]
if not (3, 11) <= version <= (3, 14):
    print("is Python %d.%d" % version)
else:
    for name in ("ensurepip", "venv", "ctypes", "ssl", "zlib"):
        try:
            __import__(name)
        except ImportError:
            print("has no module %s%s" % (name, " (Debian: apt install python%d.%d-venv)" % version
                                          if name in ("ensurepip", "venv") else ""))
            break
' 2> /dev/null || echo "does not start"
}

venv=${S4MIM_VENV:-.venv}
if [ ! -x "$venv/bin/python" ]; then
  python='' reasons=''
  # 3.14 comes last: it works, but TensorFlow has no wheel for it, so that nothing can be trained there.
  for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 python python3.14}; do
    reason=$(missing "$candidate")
    if [ -z "$reason" ]; then python=$candidate; break; fi
    reasons+="${reasons:+; }$candidate $reason"
  done
  if [ -z "$python" ]; then
    echo "error: no Python 3.11 to 3.14 that can make a virtual environment: $reasons" >&2
    echo "install one or set PYTHON=/path/to/python" >&2
    exit 2
  fi
  echo "setup: $("$python" --version) -> $venv"
  "$python" -m venv "$venv" || { rm -rf "$venv"; exit 1; }  # a half-made one would be taken for whole
fi

# The stamp holds what was asked for; pip runs again only when that changes.
arguments=()
for file in $files; do arguments+=(-r "$file"); done
version=$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
constraints=${S4MIM_CONSTRAINTS:-constraints/$version.txt}
if [ -n "${UPGRADE:-}" ]; then
  arguments+=(--upgrade --upgrade-strategy eager)
  constraints="no constraints: the newest versions that resolve"
elif [ -e "$constraints" ]; then
  arguments+=(-c "$constraints")
else
  constraints="no constraints: none are tested for Python $version"
fi
wanted="$kind $({ cat requirements*.txt pyproject.toml; cat "$constraints" 2> /dev/null || :; } | cksum) $constraints"
if [ -z "${UPGRADE:-}" ] && [ "$(cat "$venv/.installed" 2> /dev/null)" = "$wanted" ]; then
  echo "setup: $venv is ready"
  exit
fi
echo "setup: installing $files for Python $version with $constraints; about 2.6 GB the first time"
if [ "$version" = 3.14 ]; then
  echo "setup: TensorFlow has no wheel for Python 3.14: train and evaluate need 3.11 to 3.13, the rest works"
fi
# A line for each package that is fetched; all that pip says goes to a file.
progress() { sed -un 's/^ *Downloading \([^ ]*\) (\(.*\))$/setup: \1, \2/p; s/^Installing collected packages: .*/setup: unpacking/p'; }
SECONDS=0
set +e
"$venv/bin/python" -m pip install --progress-bar off --disable-pip-version-check "${arguments[@]}" 2>&1 |
  tee "$venv/install.log" | progress
status=${PIPESTATUS[0]}
set -e
if [ "$status" != 0 ]; then
  tail -n 5 "$venv/install.log" >&2
  echo "error: pip ended with status $status after $SECONDS s; all it said: $venv/install.log" >&2
  exit 1
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable .
"$venv/bin/python" -m pip check --disable-pip-version-check
echo "$wanted" > "$venv/.installed"
echo "setup: done in $SECONDS s: $("$venv/bin/python" -m pip list --disable-pip-version-check --format=freeze |
  grep -E '^(jax|flax|optax|orbax-checkpoint|tensorflow|tensorflow[_-]cpu|numpy)==' | tr '\n' ' ')"
