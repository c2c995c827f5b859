# Sourced by tools/setup, tools/setup-aarch64 and tools/build: how far a long command is, for a screen or a log.

# progress FUNCTION: reads the output of a command; every 10 s prints the last that FUNCTION LINE has put into $progress. A line
# that takes longer to come does not stop the clock.
progress() {
  local line part="" status due=$((SECONDS + 10)) wait
  progress=""
  while true; do
    wait=$((due - SECONDS))
    if ((wait <= 0)); then
      [ -z "$progress" ] || echo "$progress"
      due=$((SECONDS + 10))
      continue
    fi
    status=0
    IFS= read -r -t "$wait" line || status=$?
    part+=$line
    if ((status == 0)); then "$1" "$part"; part=""
    elif ((status <= 128)); then return; fi  # the end; above 128: nothing came in time
  done
}

# as_root COMMAND…: runs it as root where that can be had without asking anybody; status 126 where it cannot.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo > /dev/null && { [ -t 0 ] || sudo -n true 2> /dev/null; }; then sudo "$@"
  else return 126; fi
}

# apt_install PACKAGE…: installs them, says how far it is; what apt said is shown where it failed.
apt_install() {
  local log
  log=$(mktemp)
  if as_root apt-get update -qq > "$log" 2>&1 &&
    { as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get install -y -q --no-install-recommends "$@" 2>&1 | tee "$log" | progress apt_line; }; then
    rm -f "$log"
  else
    tail -20 "$log" >&2
    rm -f "$log"
    return 1
  fi
}
apt_line() {
  case $1 in
    *" newly installed, "*) apt_packages=$(echo "$1" | awk '{print $1 + $3}') apt_unpacked=0 apt_ready=0 ;;
    Get:*) apt_got=${1#Get:} progress="apt: ${apt_got%% *} of $apt_packages packages fetched" ;;
    "Unpacking "*) progress="apt: $((apt_unpacked += 1)) of $apt_packages packages unpacked" ;;
    "Setting up "*) progress="apt: $((apt_ready += 1)) of $apt_packages packages set up" ;;
  esac
}

# missing_packages PACKAGE…: prints those that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q 'install ok installed' || echo "$package"
  done
}
