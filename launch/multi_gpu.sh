#!/usr/bin/env bash
# A run on the GPUs of one machine (docs/multi_gpu.md).
#   launch/multi_gpu.sh [options] -- --config=configs/voc.py:s4mim --workdir=runs/s4mim
#   --gpus=all|N|0,1,3     which GPUs: those of CUDA_VISIBLE_DEVICES or all (default), the first N of them, or these
#   --process-per-gpu      one process a GPU instead of one process that drives all of them
#   --port=PORT            of process 0's coordinator (default: the first free one from 12355 on)
#   --restarts=N           begin again that often after a stop by a signal (status 143, the state is saved); default 0
#   --grace=SECONDS        what the other processes get for saving when one has ended (default 120)
#   --logs=FOLDER          process-I.log of every process (default: logs/TIME under the current folder)
#   --program=MODULE       what runs (default s4mim_jax.train)
#   --dry-run              prints the commands and starts nothing
# PYTHON=... chooses the interpreter; default is that of launch/setup.sh. Status: that of the process that ended it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/dry_run.sh
source "$here/dry_run.sh"

say() { echo "multi_gpu: $1" >&2; }
fail() { printf '%s\n' "error: $1" "${@:2}" >&2; exit 2; }

gpus=all port='' restarts=0 grace=120 logs=logs/$(date +%Y%m%d-%H%M%S)-$$ module=s4mim_jax.train each=''
while [ $# -gt 0 ]; do
  case $1 in
    --gpus=?* | --port=?* | --restarts=?* | --grace=?* | --logs=?*)
      key=${1%%=*}
      printf -v "${key#--}" %s "${1#*=}" ;;
    --program=?*) module=${1#*=} ;;
    --process-per-gpu) each=yes ;;
    --dry-run) dry_run=yes ;;
    --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --) shift; break ;;
    *) fail "$1: unknown, or without the value it needs; options are written --name=VALUE (--help lists them)" \
         "arguments of the program follow after --" ;;
  esac
  shift
done
[ $# -gt 0 ] || fail "no arguments of the program; for example -- --config=configs/shapes.py:s4mim --workdir=runs/s4mim"
[[ $restarts =~ ^[0-9]+$ ]] || fail "--restarts=$restarts: a whole number"
[[ $grace =~ ^[0-9]+$ ]] || fail "--grace=$grace: whole seconds"
[[ -z $port || $port =~ ^[0-9]+$ && $port -ge 1024 && $port -le 65535 ]] || fail "--port=$port: valid are 1024 to 65535"
python=${PYTHON:-${S4MIM_VENV:-$here/../.venv}/bin/python}
command -v "$python" > /dev/null || fail "no Python at $python; make it by launch/setup.sh cuda, or set PYTHON"

# --- which GPUs ---

visible=${CUDA_VISIBLE_DEVICES:-} ids=
if [[ $gpus =~ ^[1-9][0-9]?$ ]]; then  # the first N, of those that were given to us
  ids=$(seq -s , 0 $((gpus - 1)))
  [ -z "$visible" ] || ids=$(cut -d , -f "-$gpus" <<< "$visible")
elif [ "$gpus" = all ] && [ -n "$visible" ]; then ids=$visible
elif [ "$gpus" = all ] && [ -n "$each" ]; then
  command -v nvidia-smi > /dev/null || fail "--gpus=all: nvidia-smi is not on PATH to count them; give --gpus=N"
  found=$(nvidia-smi --list-gpus | grep -c '^GPU') || fail "--gpus=all: nvidia-smi lists no GPU"
  ids=$(seq -s , 0 $((found - 1)))
elif [[ $gpus =~ ^[A-Za-z0-9/-]+(,[A-Za-z0-9/-]+)*$ ]]; then [ "$gpus" = all ] || ids=$gpus  # numbers or names
else fail "--gpus=$gpus: valid are all, a number of GPUs, or their ids as 0,1,3"
fi
IFS=, read -r -a list <<< "$ids"
[[ ! $gpus =~ ^[1-9][0-9]?$ || ${#list[@]} = "$gpus" ]] ||
  fail "--gpus=$gpus: CUDA_VISIBLE_DEVICES=$visible has ${#list[@]}"
[ -n "$each" ] && count=${#list[@]} || count=1

busy() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }

if [ "$count" -gt 1 ] && [ "$dry_run" = no ]; then
  if [ -n "$port" ]; then
    ! busy "$port" || fail "--port=$port is in use, perhaps by another run; valid: a free one, or leave it out"
  else
    port=12355
    while busy "$port"; do port=$((port + 1)); done
  fi
fi

# words of process I -> array `words`. Inside a SLURM step JAX would give a process one GPU; the ids say all of its own.
words() {
  words=(env PYTHONUNBUFFERED=1)
  if [ -n "$each" ]; then words+=("CUDA_VISIBLE_DEVICES=${list[$1]}" JAX_LOCAL_DEVICE_IDS=0)
  elif [ -n "$ids" ]; then
    words+=("CUDA_VISIBLE_DEVICES=$ids" "JAX_LOCAL_DEVICE_IDS=$(seq -s , 0 $((${#list[@]} - 1)))")
  fi
  words+=("$python" -m "$module" "${@:2}")
  [ "$count" = 1 ] || words+=("--coordinator=localhost:${port:-12355}" "--num_processes=$count" "--process_id=$1")
}

if [ "$dry_run" = yes ]; then
  quoted mkdir -p "$logs"; echo
  for ((i = 0; i < count; i++)); do
    words "$i" "$@"
    printf '%s > %s 2>&1%s\n' "$(quoted "${words[@]}")" "$(quote "$logs/process-$i.log")" \
      "$([ "$count" = 1 ] || echo ' &')"
  done
  exit 0
fi

# --- run, wait, perhaps again ---

signal='' pids=()
# An interrupt from the terminal reaches the processes too; a second one would end them unsaved, so they get TERM.
# shellcheck disable=SC2329  # the traps call it
forward() { signal=$1; for pid in "${pids[@]}"; do kill -TERM "$pid" 2> /dev/null || :; done; }
trap 'forward INT' INT
trap 'forward TERM' TERM HUP

start() {
  pids=()
  for ((i = 0; i < count; i++)); do
    words "$i" "$@"
    echo "== $(date -u +%FT%TZ) $(quoted "${words[@]}")" >> "$logs/process-$i.log"
    if [ "$i" = 0 ]; then "${words[@]}" > >(tee -ai "$logs/process-0.log") 2>&1 &
    else "${words[@]}" >> "$logs/process-$i.log" 2>&1 &
    fi
    pids[i]=$!
  done
}

# Waits for all; sets `result`. The first to fail decides it. After one that was stopped the others get `grace` seconds,
# since they were told to stop and save too; then, and after a failure at once, TERM, and `grace` later KILL.
attend() {
  local since='' i status alive told=''
  result=0
  while :; do
    alive=0
    for i in "${!pids[@]}"; do
      if kill -0 "${pids[i]}" 2> /dev/null; then alive=1; continue; fi
      status=0
      wait "${pids[i]}" || status=$?
      unset "pids[i]"
      [ "$status" = 0 ] || say "process $i ended with status $status, see $logs/process-$i.log"
      # One that merely obeyed a signal does not hide the one that failed in the same moment.
      if [ -z "$told" ] && [ "$status" != 0 ] && { [ "$result" = 0 ] || [ "$result" = 143 ]; }; then result=$status; fi
      [ "$status" = 0 ] || [ -n "$since" ] || since=$SECONDS
    done
    [ "$alive" = 1 ] || return 0
    if [ -n "$since" ]; then
      if [ -z "$told" ] && { [ "$result" != 143 ] || ((SECONDS - since >= grace)); }; then
        say "ending the other processes"
        told=$SECONDS
        for i in "${!pids[@]}"; do kill -TERM "${pids[i]}" 2> /dev/null || :; done
      elif [ -n "$told" ] && ((SECONDS - told >= grace)); then
        for i in "${!pids[@]}"; do kill -KILL "${pids[i]}" 2> /dev/null || :; done
      fi
    fi
    sleep 0.2 || :
  done
}

mkdir -p "$logs"
say "$count process(es), logs in $logs"
for ((attempt = 1; ; attempt++)); do
  start "$@"
  attend
  # Whoever signals this script wants it to end; a signal to a process alone is a preemption.
  [ "$result" = 143 ] && [ -z "$signal" ] && [ "$attempt" -le "$restarts" ] || break
  say "stopped by a signal and saved; restart $attempt of $restarts"
done
wait  # for tee
exit "$result"
