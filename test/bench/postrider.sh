# Postrider as a peer of the SMTP benchmark (PEER_DIR names this folder): virtual users under one uid, daemons under their
# real, separate uids, sockets by `postrider listen`. Stock settings, except where a line says why.
ADDR=127.0.0.1:2527
ROOT=
D=$PEERS/run/postrider
MAIL="$D/mail/*/Maildir"
DIRS="$D/spool $D/mail"
VOLS="$D/spool $D/mail"
RCPT_LOCAL=u%d@bench.test
RCPT_RELAY=u%d@d%d.test
TREE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export TREE D ADDR # for launch and do_mailq, which run in shells of their own

# The contents only: for the power cut both are mount points.
clean() {
  for d in $VOLS; do [ ! -d "$d" ] || find "$d" -mindepth 1 -delete; done
}

# The users of etc/sysusers.d, on a machine that may have no systemd.
users() {
  for g in pr-read pr-login pr-tls; do getent group $g >/dev/null || groupadd -r $g; done
  for u in pr-smtpd pr-relay pr-local pr-front pr-auth pr-check; do
    getent passwd $u >/dev/null || useradd -r -M -U -d / -s /usr/sbin/nologin $u
  done
  usermod -a -G pr-login,pr-tls pr-smtpd; usermod -a -G pr-read pr-relay; usermod -a -G pr-read,pr-login pr-local
}

# The directories of etc/tmpfiles.d.
spool() {
  dir() { mkdir -p "$3"; chown "$2" "$3"; chmod "$1" "$3"; }
  dir 0755 root:root "$D/spool"
  dir 2700 pr-smtpd:pr-read "$D/spool/stage"
  for c in remote local; do
    u=pr-local; [ $c = remote ] && u=pr-relay
    dir 0711 $u:$u "$D/spool/$c"
    dir 1730 $u:pr-smtpd "$D/spool/$c/new"
    for s in cur log hold bad; do dir 0700 $u:$u "$D/spool/$c/$s"; done
  done
  dir 0755 root:root "$D/state"
  dir 0700 pr-smtpd:pr-smtpd "$D/state/smtpd"
  dir 0700 pr-auth:pr-auth "$D/state/authd"
  dir 0755 root:root "$D/sock"
  dir 0755 root:root "$D/etc"
  dir 0755 5000:5000 "$D/mail"
}

prep() {
  mkdir -p "$D"; chmod 755 "$PEERS" "$PEERS/run" "$D"
  users; spool
  cat > "$D/etc/postrider.toml" <<X
version = 1
hostname = "pr.bench.test"
origin = "bench.test"
spool_dir = "$D/spool"
run_dir = "$D/sock"
state_dir = "$D/state"
mail_root = "$D/mail"
mailbox_user = "nobody"
message_size = "100M"
[tables]
aliases = []
users = "$D/etc/users"
passwords = "$D/etc/passwords"
domains = "$D/etc/domains"
virtual = "$D/etc/virtual"
[smtpd]
relay_networks = ["127.0.0.0/8"]
# the load client is one address: not a limit of speed, of the number of its connections
max_connections = 5000
max_per_client = 5000
[relayd]
allow_loopback = true
$( [ "$1" != relay ] || echo 'relayhost = "[127.0.0.2]"' )
$( [ -n "${TUNE:-}" ] && echo "$TUNE" | tr ';' '\n' )
X
  echo "bench.test virtual" > "$D/etc/domains"
  : > "$D/etc/virtual"; : > "$D/etc/passwords"; chgrp pr-auth "$D/etc/passwords"; chmod 640 "$D/etc/passwords"
  for i in $(seq 0 999); do echo "u$i@bench.test:5000:5000:$D/mail/u$i::"; done > "$D/etc/users"
  chmod 644 "$D"/etc/{postrider.toml,domains,virtual,users}
}

launch() {
  listen="$TREE/bin/postrider listen"
  conf="-c $D/etc/postrider.toml"
  rm -f "$D"/sock/*
  s() { echo "-socket $1=unix:$D/sock/$1,mode=$2,owner=$3"; }
  $listen -user pr-auth -nnp -umask 077 $(s auth 0660 pr-auth:pr-login) -- "$TREE/bin/authd" $conf &
  $listen -user pr-local -caps setuid,setgid -nnp -umask 077 $(s local.ctl 0666 pr-local:pr-local) \
    -- "$TREE/bin/localdeliver" $conf &
  $listen -user pr-relay -nnp -umask 077 $(s relay.ctl 0666 pr-relay:pr-relay) -- "$TREE/bin/relayd" $conf &
  exec $listen -user pr-smtpd -nnp -umask 077 -socket smtp=$ADDR $(s submit 0666 pr-smtpd:pr-smtpd) \
    $(s submit.int 0660 pr-smtpd:pr-read) -- "$TREE/bin/smtpd" $conf
}
do_mailq() { "$TREE/bin/mailq" -C "$D/etc/postrider.toml"; }
