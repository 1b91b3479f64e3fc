#!/usr/bin/env bash
# The benchmark suite on one GPU in under nine minutes; a JSON a part:
#   benchmarks/gpu.sh [--dry-run] [FOLDER]          FOLDER: default benchmarks/results/gpu
#
#   parity          a few float32 steps on the processor and on the GPU agree
#   step_resnet50   step time, FLOP/s and their share of a measured ceiling, memory: configs/voc.py at crop 321
#   throughput      the loop with batches copied from the host
#   methods         what each method costs beside its host
#   step_resnet101  as step_resnet50
#   convolutions    forms of a convolution
#   step_others     further methods, in the time that the other parts have left
#
# A part has its seconds and those that the parts before it did not use, so the sum stays bounded; one that fails or
# runs over is reported, the rest goes on, and the exit status is 1. --dry-run prints the commands.
#   PARTS="parity methods"   only these
#   CUDA_VISIBLE_DEVICES=1   another GPU than the first
#   PYTHON=/usr/bin/python3  default: .venv/bin/python, else python3. TensorFlow is not needed
#   WHEELS=FOLDER            wheels of pure Python packages, used from there where they are not installed
#   SMOKE=1                  every part at a tiny size on the processor, with more time: does the script work?
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

dry='' folder=''
for argument in "$@"; do
  case $argument in
    --dry-run) dry=1 ;;
    -*) echo "error: $argument: valid are --dry-run and a folder" >&2; exit 2 ;;
    *) [ -z "$folder" ] || { echo "error: $argument: one folder only" >&2; exit 2; }
       folder=$argument ;;
  esac
done
folder=$(realpath -m "${folder:-$here/benchmarks/results/gpu}")  # relative to where the user stands
cd "$here"

python=${PYTHON:-}
if [ -z "$python" ]; then
  python=python3
  [ ! -x .venv/bin/python ] || python=$here/.venv/bin/python
fi
all="parity step_resnet50 throughput methods step_resnet101 convolutions step_others"
parts=${PARTS:-$all}
for part in $parts; do
  case " $all " in *" $part "*) ;; *) echo "error: PARTS: unknown part $part; valid: $all" >&2; exit 2 ;; esac
done

tiny=(--set model.width=8 --set model.decoder_width=8 --set model.low_level_width=4 --set 'data.crop=(33,32)'
      --set batch.labeled=4 --set batch.unlabeled=4)
if [ -n "${SMOKE:-}" ]; then
  export JAX_PLATFORMS=cpu XLA_FLAGS="--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
  recipe=configs/shapes.py factor=8 rounds=1 seconds=1 batch=4
  small=("${tiny[@]}" --set model.encoder=unet --set model.decoder=unet --set 'model.unet_widths=(4,4,4)'
         --set model.output_stride=8)  # compiles soonest
  encoders=(unet unet) camvid=(--config=configs/shapes.py --classes=9 "${small[@]}")
  compared=fixmatch methods=supervised,fixmatch others=supervised,fixmatch shapes=(--parts=networks)
else
  export CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES:-0}
  CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES%%,*}
  recipe=configs/voc.py factor=1 rounds=15 seconds=10 batch=8
  small=() encoders=(resnet50 resnet101) camvid=(--config=configs/camvid.py)
  compared=s4mim,union methods=supervised,fixmatch,s4mim,union
  others=supervised,unimatch,s4mc,maskmatch,masksup shapes=()
fi

prepare() {
  mkdir -p "$folder"
  local wheels=
  if [ -n "${WHEELS:-}" ]; then
    [ -d "$WHEELS" ] || { echo "error: WHEELS=$WHEELS: no such folder" >&2; exit 2; }
    wheels=$("$python" - "$WHEELS" <<'PYTHON'
import sys
from importlib import metadata
from pathlib import Path
for wheel in sorted(Path(sys.argv[1]).absolute().glob('*.whl')):
    try:
        metadata.version(wheel.name.partition('-')[0])
    except metadata.PackageNotFoundError:
        print(wheel, end=':')
PYTHON
    )
  fi
  export PYTHONPATH="$here:$wheels${PYTHONPATH:-}"
  # Programs that two parts share are compiled once.
  if [ -z "${SMOKE:-}" ] || [ -z "${JAX_COMPILATION_CACHE_DIR:-}" ]; then
    JAX_COMPILATION_CACHE_DIR=$(mktemp -d)
    trap 'rm -rf "$JAX_COMPILATION_CACHE_DIR"' EXIT
    export JAX_COMPILATION_CACHE_DIR JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=1
  fi
  local platform
  platform=$("$python" -c 'import jax; print(jax.default_backend())') ||
    { echo "error: $python cannot use JAX; name another one in PYTHON" >&2; exit 2; }
  if [ -z "${SMOKE:-}" ] && [ "$platform" != gpu ]; then
    echo "error: JAX finds no GPU here, only: $platform; SMOKE=1 tries the script on a processor" >&2
    exit 2
  fi
}

# part NAME SECONDS COMMAND...: LEFT in the command becomes the seconds that it has, less some for ending.
end=0 failed=''
part() {
  local name=$1 limit=$(($2 * factor)) status=0
  shift 2
  case " $parts " in *" $name "*) ;; *) return 0 ;; esac
  if [ -n "$dry" ]; then
    printf '%s, %s s:' "$name" "$limit"
    printf ' %q' "${@//LEFT/$((limit * 3 / 4))}"
    echo
    return 0
  fi
  end=$((end + limit))
  local left=$((end - SECONDS))
  echo "== $name (at most $left s)"
  rm -f "$folder/$name.json"
  timeout --kill-after=3 "$left" "${@//LEFT/$((left * 3 / 4))}" || status=$?
  case $status in
    0) ;;
    124 | 137) echo "error: $name: stopped after $left s" >&2; failed="$failed $name" ;;
    *) echo "error: $name: ended with status $status" >&2; failed="$failed $name" ;;
  esac
}

step=("$python" benchmarks/step.py --config="$recipe" --classes=21 --batch="$batch" --rounds="$rounds"
      --devices=1 --seconds=LEFT)
[ -n "$dry" ] || prepare
part parity 95 "$python" benchmarks/parity.py --config=configs/shapes.py --methods=$compared "${tiny[@]}" \
  --output="$folder/parity.json"
part step_resnet50 160 "${step[@]}" "${small[@]}" --methods=$methods --encoders="${encoders[0]}" \
  --precisions=bfloat16,float32 --output="$folder/step_resnet50.json"
part throughput 40 "$python" benchmarks/throughput.py --config="$recipe:${methods##*,}" --classes=21 \
  --seconds=$seconds "${small[@]}" --set model.encoder="${encoders[0]}" --set precision=bfloat16 \
  --output="$folder/throughput.json"
part methods 95 "$python" benchmarks/methods.py "${camvid[@]}" --rounds=$rounds --output="$folder/methods.json"
part step_resnet101 75 "${step[@]}" "${small[@]}" --methods=supervised,${methods##*,} --encoders="${encoders[1]}" \
  --precisions=bfloat16,float32 --output="$folder/step_resnet101.json"
# In the folder, because its file repeats its command line.
part convolutions 40 env -C "$folder" "$python" "$here/benchmarks/convolutions.py" "${shapes[@]}" --rounds=$rounds \
  --output=convolutions.json
part step_others 25 "${step[@]}" "${small[@]}" --methods=$others --encoders="${encoders[0]}" --precisions=bfloat16 \
  --output="$folder/step_others.json"
[ -z "$dry" ] || exit 0

echo "== $SECONDS s; written to $folder:"
for part in $parts; do
  if [ -s "$folder/$part.json" ]; then echo "$part.json"; else echo "$part.json is missing"; fi
done
[ -z "$failed" ] || { echo "error: failed:$failed" >&2; exit 1; }
