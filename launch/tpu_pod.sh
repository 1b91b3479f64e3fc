#!/usr/bin/env bash
# A run on all workers of a Cloud TPU slice, from nothing to a resumed run (docs/tpu_pod.md).
#   launch/tpu_pod.sh run    SLICE --type=v5litepod-16 [options] -- --config=... --workdir=gs://BUCKET/RUN
#   launch/tpu_pod.sh resume SLICE            the last `run` of that name again; its folder continues
#   launch/tpu_pod.sh follow|status|logs|stop SLICE
#   launch/tpu_pod.sh delete SLICE [--yes]    the end of the costs
#   launch/tpu_pod.sh up|install SLICE ...    single parts of `run`: the slice; project, environment and data
# SLICE: --name=NAME --project=PROJECT --zone=ZONE
#   --type=TYPE --version=RUNTIME    accelerator type; the runtime's default goes by the type
#   --spot --queued                  cheaper and preemptible; by a queued resource instead of at once
#   --create=FLAG                    further flag of gcloud's create, repeatable: --create=--network=NET
#   --connect=FLAG                   further flag of gcloud's ssh and scp, repeatable: --connect=--ssh-key-file=FILE
#   --data=gs://BUCKET/NAME          dataset to every worker's disk (folder, .tar, .tar.gz), repeatable
#   --env=KEY=VALUE                  environment of the program, repeatable
#   --logs=gs://FOLDER|none          where every worker's log is kept; default WORKDIR/logs
#   --restarts=N                     how often a preempted run is begun again (10); --poll=SECONDS between looks (20)
#   --program=MODULE                 what runs (s4mim_jax.train); --dry-run prints the commands and calls nothing
# The last `run` of a name and the logs that were fetched lie in runs/tpu/NAME; S4MIM_LAUNCH_STATE=FOLDER for runs/tpu.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")

say() { if [ "$dry_run" = yes ]; then echo "# $1"; else echo "tpu_pod: $1" >&2; fi; }
fail() { printf '%s\n' "error: $1" "${@:2}" >&2; exit 2; }

COMMANDS='run, resume, follow, status, logs, stop, delete, up, install'
name='' project='' zone='' type='' version='' queued='' spot='' logs='' restarts=10 poll=20 yes=''
module=s4mim_jax.train create_flags=() connect=() data=() environment=() program=() flags=()
# shellcheck source=launch/dry_run.sh
source "$here/dry_run.sh"
# shellcheck source=launch/tpu_slice.sh
source "$here/tpu_slice.sh"

command=${1:-}
[ $# = 0 ] || shift
[ "$command" != --help ] || { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0; }
[[ ", $COMMANDS, " == *", $command, "* ]] || fail "tpu_pod.sh '$command': valid are $COMMANDS (--help explains them)"

parse() {
  while [ $# -gt 0 ]; do
    case $1 in
      --name=?* | --project=?* | --zone=?* | --type=?* | --version=?* | --logs=?* | --restarts=?* | --poll=?*)
        local key=${1%%=*}
        printf -v "${key#--}" %s "${1#*=}" ;;
      --program=?*) module=${1#*=} ;;
      --create=--?*) create_flags+=("${1#*=}") ;;
      --connect=--?*) connect+=("${1#*=}") ;;
      --data=gs://?*) data+=("${1#*=}") ;;
      --env=?*=*) environment+=("$1") ;;
      --spot) spot=yes ;;
      --queued) queued=yes ;;
      --yes) yes=yes ;;
      --dry-run) dry_run=yes ;;
      --) shift; program=("$@"); return ;;
      *) fail "$1: unknown, or without the value it needs; options are written --name=VALUE (--help lists them)" \
           "arguments of the program follow after --" ;;
    esac
    [[ $1 == --dry-run || $1 == --yes ]] || flags+=("$1")
    shift
  done
}

# The last `run` is kept here, and the logs that are fetched.
remembered() { echo "${S4MIM_LAUNCH_STATE:-$root/runs/tpu}/$name"; }

parse "$@"
if [ "$command" = resume ]; then
  [ -n "$name" ] || fail "--name is missing"
  [ -e "$(remembered)/program" ] || fail "--name=$name: no run of that name is known" "use run ... -- ARGUMENTS"
  [ ${#program[@]} = 0 ] || fail "resume takes no program: it begins the last run again" "use run for another one"
  new=("${flags[@]}")
  mapfile -d '' flags < "$(remembered)/flags"
  mapfile -d '' program < "$(remembered)/program"
  again=() ; [ "$dry_run" = no ] || again+=(--dry-run)
  exec "$0" run "${flags[@]}" "${new[@]}" "${again[@]}" -- "${program[@]}"
fi

for key in name project zone; do
  [ -n "${!key}" ] || fail "--$key is missing; every command needs --name=NAME --project=PROJECT --zone=ZONE"
done
[[ $name =~ ^[a-z]([-a-z0-9]{0,60}[a-z0-9])?$ ]] ||
  fail "--name=$name: valid are small letters, digits and -, a letter first"
[[ $zone =~ ^[a-z]+-[a-z]+[0-9]+-[a-z]$ ]] || fail "--zone=$zone: a zone has the form us-west4-a"
[[ $restarts =~ ^[0-9]+$ ]] || fail "--restarts=$restarts: a whole number"
[[ $poll =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail "--poll=$poll: seconds"
if [ "$command" = run ] || [ "$command" = up ]; then
  [ -n "$type" ] || fail "--type is missing; for example --type=v5litepod-16 (16 chips of v5e on 4 workers)"
  if [ -z "$version" ]; then
    case $type in
      v5litepod-*) version=v2-alpha-tpuv5-lite ;;
      v5p-*) version=v2-alpha-tpuv5 ;;
      v6e-*) version=v2-alpha-tpuv6e ;;
      v[234]-*) version=tpu-ubuntu2204-base ;;
      *) fail "--type=$type: no runtime known for it; give --version=RUNTIME" \
           "known types: v2-8, v3-32, v4-64, v5litepod-16, v5p-128, v6e-16 and their other sizes" ;;
    esac
  fi
fi
if [ "$command" = run ]; then
  workdir=
  for word in "${program[@]}"; do [[ $word != --workdir=* ]] || workdir=${word#*=}; done
  [ -n "$workdir" ] || fail "no --workdir=gs://BUCKET/RUN among the arguments after --"
  [[ $workdir == gs://?*/?* || $workdir == /* ]] || fail "--workdir=$workdir: every worker would write its own" \
    "valid: gs://BUCKET/RUN, or the absolute path of a folder that all workers have mounted"
  if [ -z "$logs" ] && [[ $workdir == gs://* ]]; then logs=${workdir%/}/logs; fi
fi
[ "$dry_run" = yes ] || command -v gcloud > /dev/null || fail "gcloud is not on PATH; install the Google Cloud CLI"

# --- on the workers ---

worker() { printf 'bash ~/s4mim/project/launch/tpu_worker.sh %s' "$(quoted "$@")"; }
on() { tpus tpu-vm ssh "$name" --worker="$1" --quiet "${connect[@]}" --command="$2" "${@:3}"; }

install() {
  local archive=/tmp/s4mim.tar.gz source
  [ "$dry_run" = yes ] || archive=$(mktemp)
  say "copying the project to all workers and installing"
  perform tar -czf "$archive" --anchored --exclude=./.git --exclude='./.venv*' --exclude=./data \
    --exclude=./runs --exclude=./quickstart --exclude='./.*_cache' --no-anchored \
    --exclude=__pycache__ --exclude='*.egg-info' -C "$root" .
  tpus tpu-vm scp "$archive" "$name:s4mim.tar.gz" --worker=all --quiet "${connect[@]}"
  perform rm "$archive"
  on all "rm -rf ~/s4mim/project && mkdir -p ~/s4mim/project && tar -xzf ~/s4mim.tar.gz -C ~/s4mim/project &&\
 $(worker install)"
  for source in "${data[@]}"; do
    say "copying $source to all workers"
    on all "$(worker data "$source")"
  done
}

# Without the flags a connection to a worker that was taken away would look open for hours.
follow() { on 0 "$(worker follow)" --ssh-flag=-oServerAliveInterval=30 --ssh-flag=-oServerAliveCountMax=4; }

start() {
  local kept=() commit
  # The copy on the workers has no history; run.json shall name the commit all the same.
  commit=$(git -C "$root" rev-parse HEAD 2> /dev/null)$(git -C "$root" diff --quiet HEAD 2> /dev/null || echo +)
  [[ $commit == + || ${environment[*]} == *S4MIM_GIT_HASH=* ]] || environment+=("--env=S4MIM_GIT_HASH=$commit")
  [ -z "$logs" ] || [ "$logs" = none ] || kept=("--logs=$logs")
  say "starting on all workers"
  on all "$(worker start "${environment[@]}" "${kept[@]}" -- -m "$module" "${program[@]}")" || {
    echo "error: not every worker could start it, and those that did wait for the others: status, then stop" >&2
    exit 1
  }
}

fetch_logs() {
  local folder
  folder=$(remembered)/logs/$(date +%Y%m%d-%H%M%S)
  perform mkdir -p "$folder"
  on all "$(worker log)" --output-directory="$folder"
  say "logs of all workers: $folder"
}

# running, "exited STATUS", "stopped STATUS", lost, idle; or unreachable.
outcome() {
  local answer
  answer=$(on 0 "$(worker status)" 2> /dev/null | tail -n 1) || answer=
  if [[ $answer == *": "* ]]; then echo "${answer##*: }"; else echo unreachable; fi
}

# Whether machines went away: the slice, or single workers that began anew under their program.
interrupted() {
  local answer
  [ "$(slice_state)" = READY ] || return 0
  answer=$(on all "$(worker status)" 2> /dev/null) || return 0
  grep -qE ': (lost|idle)$' <<< "$answer"
}

# Follows until the program ends. Returns its status; 143 also when the slice went away under it.
attend() {
  local end state silent=0
  while :; do
    follow || :
    end=$(outcome)
    say "worker 0: $end"
    case $end in
      running) silent=0 ;;  # only the connection was lost
      'exited '* | 'stopped '*)
        fetch_logs || say "the logs could not be fetched"
        [[ $end != stopped* ]] || restarts=0  # somebody wants it to end
        [[ ${end##* } =~ ^(0|2|3|143)$ ]] || ! interrupted || return 143
        return "${end##* }" ;;
      *)
        state=$(slice_state)
        [ "$state" = READY ] && [ "$end" = unreachable ] && [ $((silent += 1)) -lt 10 ] || return 143 ;;
    esac
    sleep "$poll"
  done
}

run() {
  local status attempt=0 folder
  folder=$(remembered)
  if [ "$dry_run" = yes ]; then
    ensure; install; start; follow; fetch_logs
    return
  fi
  mkdir -p "$folder"
  printf '%s\0' "${flags[@]}" > "$folder/flags"
  printf '%s\0' "${program[@]}" > "$folder/program"
  trap 'say "detached; the program and the costs go on: follow, stop, delete"; exit 130' INT
  while :; do
    ensure
    # One that runs already is joined; nothing is copied under it.
    [ "$(outcome)" = running ] || install
    start
    status=0
    attend || status=$?
    [ "$status" = 143 ] && [ "$attempt" -lt "$restarts" ] || break
    attempt=$((attempt + 1))
    say "interrupted; restart $attempt of $restarts"
    sleep "$poll"
  done
  say "ended with status $status. The slice is still there and costs money: $(quoted "$0" delete --name="$name" \
--project="$project" --zone="$zone")"
  return "$status"
}

status() {
  if [ "$dry_run" = yes ]; then
    slice_state
    queue_state
    on all "$(worker status)"
    return
  fi
  local state request
  state=$(slice_state)
  request=$(queue_state)
  printf '%s\n' "slice $name: $state" "queued resource $name: $request"
  [ "$state" != READY ] || on all "$(worker status)"
}

delete() {
  if [ "$dry_run" = yes ]; then
    if [ -n "$queued" ]; then tpus queued-resources delete "$name" --force --quiet
    else tpus tpu-vm delete "$name" --quiet
    fi
    return
  fi
  local state request answer=
  state=$(slice_state)
  request=$(queue_state)
  if [ "$state:$request" = ABSENT:ABSENT ]; then echo "there is no slice $name in $zone"; return; fi
  if [ -z "$yes" ]; then
    printf 'delete %s (slice %s, queued resource %s) with its disks? [y/N] ' "$name" "$state" "$request" >&2
    read -r answer || :
    [ "$answer" = y ] || { echo "nothing was deleted" >&2; return 1; }
  fi
  remove
  echo "deleted $name"
}

case $command in
  up) ensure ;;
  stop) on all "$(worker stop)" ;;
  logs) fetch_logs ;;
  *) "$command" ;;
esac
