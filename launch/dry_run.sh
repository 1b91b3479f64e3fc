# shellcheck shell=bash
# Commands that are run, or with dry_run=yes printed as they would be run. Sourced by the launch scripts.

((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)) || {
  echo "error: bash $BASH_VERSION is too old; 4.4 or newer is needed" >&2
  exit 2
}
dry_run=no

# One word as a shell reads it; `--flag=` stays outside the quotes.
quote() {
  local word=$1 flag=
  if [[ $word =~ ^(--[a-z-]+=)(.+)$ ]]; then flag=${BASH_REMATCH[1]} word=${BASH_REMATCH[2]}; fi
  if [[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]]; then printf '%s' "$flag$word"
  else printf "%s'%s'" "$flag" "${word//\'/\'\\\'\'}"
  fi
}

quoted() {
  local word line=
  for word in "$@"; do line+=" $(quote "$word")"; done
  printf '%s' "${line# }"
}

# Runs a command, or prints it as it would be run.
perform() {
  if [ "$dry_run" = yes ]; then quoted "$@"; printf '\n'; else "$@"; fi
}
