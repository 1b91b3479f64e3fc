#!/usr/bin/env bash
# Fills launch/kubernetes.yaml and gives it to kubectl (docs/slurm_kubernetes.md).
#   launch/kubernetes.sh --image=IMAGE [options] -- --config=configs/voc.py:s4mim --workdir=/mnt/s4mim/runs/s4mim
#   --name=NAME        of the Job and its service (default s4mim)
#   --nodes=N          pods, one process each (default 2); --gpus=N GPUs of each (default 8; 0 for none)
#   --claim=NAME       persistent volume claim that becomes /mnt/s4mim (default s4mim)
#   --restarts=N       failures that count before the Job gives up (default 20); preemptions do not count
#   --program=MODULE   what runs (default s4mim_jax.train)
#   --dry-run          prints the command with the whole manifest and calls nothing
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/dry_run.sh
source "$here/dry_run.sh"

fail() { printf '%s\n' "error: $1" "${@:2}" >&2; exit 2; }

name=s4mim image='' nodes=2 gpus=8 claim=s4mim restarts=20 program=s4mim_jax.train
while [ $# -gt 0 ]; do
  case $1 in
    --name=?* | --image=?* | --nodes=?* | --gpus=?* | --claim=?* | --restarts=?* | --program=?*)
      key=${1%%=*}
      printf -v "${key#--}" %s "${1#*=}" ;;
    --dry-run) dry_run=yes ;;
    --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --) shift; break ;;
    *) fail "$1: unknown, or without the value it needs; options are written --name=VALUE (--help lists them)" \
         "arguments of the program follow after --" ;;
  esac
  shift
done
[ -n "$image" ] || fail "--image is missing; name the image that holds the project and its environment"
for key in name claim; do
  [[ ${!key} =~ ^[a-z]([-a-z0-9]{0,50}[a-z0-9])?$ ]] || fail "--$key=${!key}: valid are small letters, digits and -"
done
[[ $nodes =~ ^[1-9][0-9]*$ ]] || fail "--nodes=$nodes: a whole number from 1 on"
[[ $gpus =~ ^[0-9]+$ ]] || fail "--gpus=$gpus: a whole number"
[[ $restarts =~ ^[0-9]+$ ]] || fail "--restarts=$restarts: a whole number"
[ $# -gt 0 ] ||
  fail "no arguments of the program; for example -- --config=configs/voc.py:s4mim --workdir=/mnt/s4mim/runs/x"
[[ $image != *[[:space:]\"\\]* && $program =~ ^[A-Za-z0-9_.]+$ ]] ||
  fail "--image=$image, --program=$program: no spaces or quotes"

# A YAML string; Kubernetes would take $(NAME) in it for a variable, $$ is a plain dollar.
text() {
  local word=$1
  word=${word//\\/\\\\}
  word=${word//\"/\\\"}
  word=${word//$'\n'/\\n}
  word=${word//$'\t'/\\t}
  printf '"%s"' "${word//\$/\$\$}"
}

manifest() {
  local line indent word skipping=
  while IFS= read -r line; do
    if [ -n "$skipping" ] && [[ $line =~ ^\ +-\  ]]; then continue; fi
    skipping=
    case $line in
      *'args:  # --')
        indent=${line%%args:*}
        printf '%sargs:\n' "$indent"
        for word in "$@"; do printf '%s  - %s\n' "$indent" "$(text "$word")"; done
        skipping=yes
        continue ;;
      *'  # --name') line=${line%  # --name} line=${line//s4mim/$name} ;;
      *'  # --nodes') line=${line%  # --nodes} line=${line/2/$nodes} ;;
      *'  # --restarts') line="${line%%:*}: $restarts" ;;
      *'  # --image') line="${line%%:*}: \"$image\"" ;;
      *'  # --program') line="${line%%-*}- $program" ;;
      *'  # --gpus') line="${line%%:*}: $gpus" ;;
      *'  # --claim') line="${line%%:*}: $claim" ;;
    esac
    printf '%s\n' "$line"
  done < "$here/kubernetes.yaml"
}

if [ "$dry_run" = yes ]; then
  echo "kubectl apply -f - <<'END_OF_MANIFEST'"
  manifest "$@"
  echo END_OF_MANIFEST
  exit 0
fi
command -v kubectl > /dev/null || fail "kubectl is not on PATH"
manifest "$@" | kubectl apply -f -
