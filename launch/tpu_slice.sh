# shellcheck shell=bash
# The life of a TPU slice: state, creation, deletion. Sourced by tpu_pod.sh, which sets name, project, zone, type,
# version, queued, spot, create_flags and poll.
# shellcheck disable=SC2154

tpus() { perform gcloud compute tpus "$@" --zone="$zone" --project="$project"; }

# describe KIND NAME FORMAT -> the values, or ABSENT. Any other error (rights, network) ends the script: to take it
# for "not there" would create a second slice.
describe() {
  if [ "$dry_run" = yes ]; then tpus "$1" describe "$2" --format="$3"; return; fi
  local answer errors
  errors=$(mktemp)
  if answer=$(tpus "$1" describe "$2" --format="$3" 2> "$errors"); then
    printf '%s\n' "$answer"
  elif grep -qiE 'NOT_FOUND|was not found' "$errors"; then
    echo ABSENT
  else
    cat "$errors" >&2
    rm -f "$errors"
    return 1
  fi
  rm -f "$errors"
}

slice_state() { describe tpu-vm "$name" 'value(state)'; }
queue_state() { describe queued-resources "$name" 'value(state.state)'; }

create() {
  local flags=("--accelerator-type=$type")
  [ -z "$spot" ] || flags+=(--spot)
  say "creating $name ($type, $version)"
  if [ -n "$queued" ]; then
    tpus queued-resources create "$name" --node-id="$name" --runtime-version="$version" "${flags[@]}" \
      "${create_flags[@]}"
  else
    tpus tpu-vm create "$name" --version="$version" "${flags[@]}" "${create_flags[@]}"
  fi
}

# A slice that came from the queue goes with its request: one that is left blocks the name.
remove() {
  local request
  request=$(queue_state)
  if [ "$request" = ABSENT ]; then
    tpus tpu-vm delete "$name" --quiet
  else
    tpus queued-resources delete "$name" --force --quiet
  fi
}

dry_run_ensure() {
  slice_state
  if [ -n "$queued" ]; then
    queue_state
    printf '# if it is gone (PREEMPTED, TERMINATED, SUSPENDED, FAILED): '
    tpus queued-resources delete "$name" --force --quiet
    echo '# if there is none:'
  else
    printf '# if it is gone (PREEMPTED, TERMINATED): '
    tpus tpu-vm delete "$name" --quiet
    echo '# if there is none:'
  fi
  create
}

# Returns when the slice is READY: reuses one that is, waits for one that comes, replaces one that is gone.
ensure() {
  if [ "$dry_run" = yes ]; then dry_run_ensure; return; fi
  local state request there said=
  while :; do
    state=$(slice_state)
    request=
    if [ "$state" = ABSENT ] && [ -n "$queued" ]; then request=$(queue_state); fi
    case $state:$request in
      READY:)
        there=$(describe tpu-vm "$name" 'value(acceleratorType)')
        [ "${there##*/}" = "$type" ] || fail "$name is a ${there##*/} already, not the --type=$type asked for" \
          "valid: another --name, or delete it first"
        say "$name is READY"
        return ;;
      ABSENT: | ABSENT:ABSENT) create ;;
      PREEMPTED: | TERMINATED: | UNKNOWN: | ABSENT:FAILED | ABSENT:SUSPENDED | ABSENT:ACTIVE)
        say "$name is ${request:-$state}: deleting it"
        remove ;;
      STOPPED:) tpus tpu-vm start "$name" ;;
      CREATING: | STARTING: | RESTARTING: | REIMAGING: | REPAIRING: | DELETING: | STOPPING: | ABSENT:?*)
        [ "$said" = "$state:$request" ] || say "$name is ${request:-$state}: waiting (Ctrl-C stops only the waiting)"
        said=$state:$request
        sleep "$poll" ;;
      *) fail "$name is $state, which is not known here; look at it in the console" ;;
    esac
  done
}
