#!/usr/bin/env bash
# From nothing to a comparison: sets up, trains labelled-only and semi-supervised on the embedded
# dataset from one seed for equally many steps, scores both on the test split, draws predictions
# and prints a table. At most 10 minutes on two cores after the installation.
#   launch/quickstart.sh [FOLDER]        FOLDER (default: quickstart) receives everything
#   METHOD=fixmatch STEPS=200 launch/quickstart.sh     other choices; METHOD may have settings, as union,tau=0.9
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
folder=$(realpath -m "${1:-$here/quickstart}")  # relative to where the user stands
cd "$here"
launch/setup.sh cpu
python="${S4MIM_VENV:-.venv}/bin/python"
export JAX_PLATFORMS=${JAX_PLATFORMS:-cpu}
exec "$python" -m s4mim_jax.quickstart --output="$folder" ${METHOD:+--method="$METHOD"} ${STEPS:+--steps="$STEPS"}
