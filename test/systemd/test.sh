#!/bin/bash
# Installs the suite into a throw-away system that a rig boots with a real systemd, and tries it there: see inside.sh.
#
#   SYSTEMD_RIG=program   its `run -c SOURCE:TARGET -- SCRIPT` copies a folder in, boots, runs the script as root, and
#                         exits with the script's status
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ -z "${SYSTEMD_RIG:-}" ]; then
  echo "make systemd: skipped, SYSTEMD_RIG is not set (see $0)"
  exit 0
fi
stage=$(mktemp -d)
chmod 755 "$stage" # it becomes the root directory
trap 'rm -rf "$stage"' EXIT
[ ! -e /usr/include/security/pam_appl.h ] || make -s checkpassword
make -s install DESTDIR="$stage" PREFIX=/usr
"$SYSTEMD_RIG" run -c "$stage:/stage" -- test/systemd/inside.sh
