#!/bin/bash
# Compares accept and delivery rates with another mail server's, alternating on one machine: `make bench`. Needs root and:
#
#   SMTPBENCH=dir   the harness: run.py, report.py, peer.sh, its peers and its load generator already built
#   PEERS=dir       its scratch directory, on a journaled filesystem
#   SERVERS         default postfix,postrider       ROUNDS  default 5       CELLS  default all
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${SMTPBENCH:-}" ] || [ -z "${PEERS:-}" ]; then
  echo "make bench: skipped, SMTPBENCH and PEERS are not set (see $0)"
  exit 0
fi
export PEER_DIR=$here PEERS
out=$PEERS/results-$(date +%Y%m%d-%H%M%S).jsonl
"$SMTPBENCH/run.py" local "${SERVERS:-postfix,postrider}" --rounds "${ROUNDS:-5}" ${CELLS:+--cells "$CELLS"} --out "$out"
"$SMTPBENCH/report.py" "$out"
