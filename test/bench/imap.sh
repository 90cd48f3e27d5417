#!/bin/bash
# Postrider as a peer of the IMAP benchmark: authd, imapd and pop3d under their real, separate uids, 1,000 virtual users under
# one, sockets by `postrider listen`. Stock settings, except where a line says why. Needs root.
#
#   RUN=dir PORT=10543 imap.sh start|stop|env      IMAP on PORT, POP3 on PORT+1; RUN/env tells the bench
set -euo pipefail
: "${RUN:?set RUN to a state directory}" "${PORT:=10543}" "${MAILUID:=5000}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "$here/../.." && pwd)
D=$RUN
export PEERS=${PEERS:-$RUN}
. "$here/postrider.sh" # users, the accounts of the suite
D=$RUN

names() {
  printf '%s\n' u10 u1k u10k u10ksw u100k ulist test
  seq -f 'mix%02.0f' 0 9
  seq -f 'i%04.0f' 1 1000
  seq -f 'test%.0f' 1 10
}

# The password of all, in a form that is as cheap to check as there is: logins are not what is measured.
secret() {
  python3 - <<'X'
import base64, hashlib, hmac
salt = b"0123456789abcdef"
salted = hashlib.pbkdf2_hmac("sha256", b"pw", salt, 4096)
client = hmac.new(salted, b"Client Key", hashlib.sha256).digest()
b = lambda x: base64.b64encode(x).decode()
print("{SCRAM-SHA-256}4096,%s,%s,%s" % (b(salt), b(hashlib.sha256(client).digest()), b(hmac.new(salted, b"Server Key", hashlib.sha256).digest())))
X
}

prepare() {
  mkdir -p "$D"/{etc,sock,state/authd,home}
  chmod 755 "$D" "$D"/{etc,sock,state}
  users
  usermod -a -G pr-login,pr-tls pr-front
  chown pr-auth: "$D/state/authd"; chmod 700 "$D/state/authd"
  chown "$MAILUID:$MAILUID" "$D/home"
  cat > "$D/etc/postrider.toml" <<X
version = 1
hostname = "pr.bench.test"
origin = "bench.test"
run_dir = "$D/sock"
state_dir = "$D/state"
mail_root = "$D/home"
mailbox_user = "$MAILUID"
[tables]
aliases = []
users = "$D/etc/users"
passwords = "$D/etc/passwords"
domains = "$D/etc/domains"
virtual = ""
# the load client is one address and one user: not a limit of speed, of the number of its connections
[imapd]
max_connections = 8000
max_per_client = 8000
max_per_user = 5000
[pop3d]
max_per_client = 5000
max_per_user = 5000
X
  local s
  s=$(secret)
  names | sed "s|.*|&:$MAILUID:$MAILUID:$D/home/&::|" > "$D/etc/users"
  names | sed "s|.*|&::*:$s|" > "$D/etc/passwords"
  echo "bench.test virtual" > "$D/etc/domains"
  chmod 644 "$D"/etc/{postrider.toml,domains,users}
  chgrp pr-auth "$D/etc/passwords"; chmod 640 "$D/etc/passwords"
}

start() {
  prepare
  rm -f "$D"/sock/*
  : > "$D/pids"
  ulimit -n "$(ulimit -Hn)"
  one authd -user pr-auth -caps setuid,setgid -socket "auth=unix:$D/sock/auth,mode=0660,owner=pr-auth:pr-login"
  one imapd -user pr-front -socket "imap=127.0.0.1:$PORT" -socket "imap.ctl=unix:$D/sock/imap.ctl,mode=0666,owner=pr-front:pr-front"
  one pop3d -user pr-front -socket "pop3=127.0.0.1:$((PORT + 1))" -socket "pop3.ctl=unix:$D/sock/pop3.ctl,mode=0666,owner=pr-front:pr-front"
  sleep 1
  "$0" env > "$D/env"
}

one() { # name, options of postrider listen
  local name=$1
  shift
  setsid "$tree/bin/postrider" listen -nnp -umask 077 "$@" -- "$tree/bin/$name" -c "$D/etc/postrider.toml" </dev/null >>"$D/log" 2>&1 &
  echo $! > "$D/$name.pid"
}

case "${1:-}" in
start) start ;;
stop) for n in imapd pop3d authd; do kill "$(cat "$D/$n.pid")" || :; done; sleep 1 ;;
env)
  echo "export IMAP=127.0.0.1:$PORT POP3=127.0.0.1:$((PORT + 1)) PASS=pw MAILDIR=$D/home/%u/Maildir PIDFILE=$D/authd.pid,$D/imapd.pid,$D/pop3d.pid"
  ;;
*) echo "usage: $0 start|stop|env" >&2; exit 2 ;;
esac
