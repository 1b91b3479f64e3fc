#!/usr/bin/env bash
# One worker of a TPU slice. tpu_pod.sh calls this over ssh on every worker; by hand it works as well.
#   tpu_worker.sh install                 Python 3.11 if there is none of 3.11 to 3.13, then launch/setup.sh tpu
#   tpu_worker.sh data gs://BUCKET/NAME   a dataset (folder, .tar, .tar.gz) to ~/s4mim/data
#   tpu_worker.sh start [--env=KEY=VALUE]... [--logs=gs://FOLDER] -- -m s4mim_jax.train ARGUMENTS
#   tpu_worker.sh follow | status | log | stop
# The program runs detached from ssh. ~/s4mim holds project/, venv/, data/, run.log and what is known of the
# run. With --logs the log is copied to the bucket every minute and at the end: a preempted worker's disk is lost.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
home=${S4MIM_HOME:-$HOME/s4mim}
log=$home/run.log
mkdir -p "$home"
cd "$home"

fail() { echo "error: $1" >&2; exit 2; }

# The program and its supervisor hold run.lock: no stale process number can look like a run.
running() { ! flock --nonblock run.lock true; }

status() {
  if running; then echo "$(hostname): running"
  elif [ -e run.status ]; then echo "$(hostname): $(cat run.status)"
  elif [ -e run.command ]; then echo "$(hostname): lost"  # the machine went away under it
  else echo "$(hostname): idle"
  fi
}

install() {
  local candidate found=${PYTHON:-}
  for candidate in python3.11 python3.12 python3.13; do
    if "$candidate" -c 'import ensurepip, venv' 2> /dev/null; then found=$candidate; fi
  done
  if [ -z "$found" ]; then
    # Images of TPU VMs come with Python 3.10. The lock waits for the updates that run after booting.
    sudo apt-get -q -o DPkg::Lock::Timeout=600 update
    sudo apt-get -q -y -o DPkg::Lock::Timeout=600 install python3.11 python3.11-venv
  fi
  S4MIM_VENV=$home/venv "$here/setup.sh" tpu
  # Checkpoints in gs:// need it.
  "$home/venv/bin/python" -c 'import google.cloud.storage' 2> /dev/null ||
    "$home/venv/bin/python" -m pip install --quiet --disable-pip-version-check google-cloud-storage
  # Workers of different versions hang or fail at the first collective; these lines must be equal.
  "$home/venv/bin/python" -m pip list --disable-pip-version-check --format=freeze | grep -E '^(jax|jaxlib|libtpu)==' |
    tr '\n' ' ' || :
  echo "on $(hostname)"
}

data() {
  [ $# = 1 ] || fail "tpu_worker.sh data takes one gs://BUCKET/NAME"
  local source=${1%/} name
  name=$(basename "$source")
  mkdir -p data
  case $source in
    *.tar | *.tar.gz | *.tgz)
      if [ "$(cat "data/.$name" 2> /dev/null)" = "$source" ]; then echo "data: $source is there"; return; fi
      gcloud storage cp "$source" "$home/$name"
      tar -xf "$home/$name" -C data
      rm "$home/$name"
      echo "$source" > "data/.$name" ;;
    *)
      mkdir -p "data/$name"
      gcloud storage rsync --recursive "$source" "$home/data/$name" ;;
  esac
}

start() {
  local environment=() logs=
  while [ $# -gt 0 ]; do
    case $1 in
      --env=?*=*) environment+=("${1#--env=}") ;;
      --logs=*) logs=${1#--logs=} ;;
      --) shift; break ;;
      *) fail "tpu_worker.sh start: $1 is unknown; valid are --env=KEY=VALUE, --logs=gs://FOLDER, -- PROGRAM" ;;
    esac
    shift
  done
  [ $# -gt 0 ] || fail "tpu_worker.sh start: no program after --"
  if running; then
    cmp -s <(printf '%s\0' "$@") run.command || fail "$(hostname): another run is going on; end it with stop first"
    echo "$(hostname): already running"
    return
  fi
  printf '%s\0' "$@" > run.command
  rm -f run.status run.stopped run.pid
  # Own session, no terminal: the end of ssh does not end it. `start` returns once there is a process.
  setsid nohup env "${environment[@]}" "$here/tpu_worker.sh" supervise "$logs" > /dev/null 2>> "$log" < /dev/null &
  for _ in $(seq 100); do
    if [ -e run.pid ] || [ -e run.status ]; then echo "$(hostname): started"; return; fi
    sleep 0.1
  done
  fail "$(hostname): the program did not start, see $log"
}

# Runs the stored command, hands signals on and writes down how it ended.
supervise() {
  local logs=$1 child status=0 uploader='' program=() target
  exec 9> run.lock
  flock --timeout 10 9 || exit 1  # `running` holds it for a moment
  mapfile -d '' program < run.command
  target=${logs%/}/$(hostname)-$(date -u +%Y%m%dT%H%M%SZ).log
  {
    printf '== %s %s:' "$(date -u +%FT%TZ)" "$(hostname)"
    printf ' %q' "${program[@]}"
    printf '\n'
  } >> "$log"
  cd "$here/.."  # so that --config=configs/... is found
  PYTHONUNBUFFERED=1 S4MIM_DATA=${S4MIM_DATA:-$home/data} "${PYTHON:-$home/venv/bin/python}" "${program[@]}" \
    >> "$log" 2>&1 &
  child=$!
  trap 'kill -TERM "$child" 2> /dev/null || :' TERM INT HUP
  echo "$child" > "$home/run.pid"
  if [ -n "$logs" ]; then
    (while sleep "${S4MIM_LOG_SECONDS:-60}"; do gcloud storage cp "$log" "$target" || :; done) 9>&- > /dev/null 2>&1 &
    uploader=$!
  fi
  while :; do  # a signal ends `wait` before the program has ended
    status=0
    wait "$child" || status=$?
    kill -0 "$child" 2> /dev/null || break
  done
  if [ -n "$uploader" ]; then
    kill "$uploader" 2> /dev/null || :
    gcloud storage cp "$log" "$target" > /dev/null 2>&1 || :
  fi
  if [ -e "$home/run.stopped" ]; then echo "stopped $status"; else echo "exited $status"; fi > "$home/run.new"
  mv "$home/run.new" "$home/run.status"
}

# Prints the log as it grows until the program ends.
follow() {
  [ -e run.pid ] || fail "$(hostname): nothing was started here"
  # From the last start on; `tail` ends with the process.
  local line
  line=$(grep -n '^== ' "$log" | tail -n 1 | cut -d : -f 1)
  tail -n "+${line:-1}" -F --sleep-interval=0.5 --pid="$(cat run.pid)" "$log" 2> /dev/null || :
}

stop() {
  running || { status; return; }
  touch run.stopped
  kill -TERM "$(cat run.pid)" 2> /dev/null || :
  for _ in $(seq "${S4MIM_STOP_SECONDS:-600}"); do
    running || { status; return; }
    sleep 1
  done
  fail "$(hostname): still saving after ${S4MIM_STOP_SECONDS:-600} s, see $log"
}

command=${1:-}
[ $# = 0 ] || shift
case $command in
  install | data | start | follow | status | stop | supervise) "$command" "$@" ;;
  log) cat "$log" ;;
  *) fail "tpu_worker.sh '$command': valid are install, data, start, follow, status, log, stop" ;;
esac
