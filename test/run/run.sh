#!/bin/bash
# Starts the whole suite in the foreground, under one directory and without privilege, to try it: the script behind
# `make run`. Ctrl-C ends it. From the environment:
#
#   RUN=dir         where everything lies (default: run/ in the tree); mail and accounts there are kept for the next time
#   PORT_BASE=2000  ports: +25 SMTP, +587 submission, +465 submission over TLS, +143 IMAP, +993 IMAPS, +110 POP3, +995 POP3S
#   RELAY=1         send mail for other domains, too; without it that mail waits in the queue
#   DNS=host:port   resolver to use instead of the system's; implies RELAY=1
#   EXTRA=file      configuration to add, TOML
#
# It supervises nothing: `postrider listen` opens each daemon's sockets and becomes the daemon; the first that ends, ends
# all. $RUN/env tells other scripts the ports and accounts.
set -euo pipefail

tree=$(cd "$(dirname "$0")/../.." && pwd -P)
domain=example.test
host=127.0.0.1
accounts=(alice bob carol)
daemons=(authd localdeliver smtpd imapd pop3d) # and relayd, if it is to run
grace=10 # seconds that the daemons have to end after SIGTERM

say() { printf '%s\n' "$*" >&2; }
die() { say "make run: $*"; exit 1; }

# quoted and toml write a value for the shell and for the configuration.
quoted() { printf "'%s'" "${1//\'/\'\\\'\'}"; }
toml() { local v=${1//\\/\\\\}; printf '"%s"' "${v//\"/\\\"}"; }

# Names a directory absolutely before it exists.
absolute() { case $1 in /*) printf %s "$1" ;; *) printf '%s/%s' "$PWD" "$1" ;; esac; }

ours() { # a directory that may be taken over: new, empty, or of an earlier run
  [ ! -e "$1" ] || [ -e "$1/.postrider-run" ] || [ -z "$(ls -A "$1")" ]
}

# As root: make the directory, give it to the owner of the tree (to nobody, if that is root), and begin again as that
# user. A tree that the user cannot reach, below /root say, is handed over through a pipe: root writes nothing into a
# directory that is not its own.
give_up_root() {
  local owner group
  owner=$(stat -c %u "$tree") group=$(stat -c %g "$tree")
  if [ "$owner" = 0 ]; then owner=$(id -u nobody) group=$(id -g nobody); fi
  local as=("$tree/bin/postrider" listen -user "$owner" -group "$group" -groups '' -nnp --)
  if [ ! -e "$RUN" ]; then "${as[@]}" mkdir -p "$RUN" 2>/dev/null || new_directory "$RUN" "$owner:$group"; fi
  if ! "${as[@]}" test -w "$RUN"; then
    rmdir "$RUN" 2>/dev/null || :
    [ -z "$chosen" ] || die "uid $owner cannot write to $RUN: choose another RUN"
    say "make run: uid $owner cannot reach $RUN"
    RUN=$(mktemp -d /tmp/postrider-run.XXXXXX)
    chown "$owner:$group" "$RUN"
  fi
  ours "$RUN" || die "$RUN is not empty and not of an earlier run"
  "${as[@]}" touch "$RUN/.postrider-run" || die "uid $owner cannot write to $RUN"
  if ! "${as[@]}" test -x "$tree/bin/smtpd"; then
    tar -C "$tree" -cf - bin test/run/run.sh | "${as[@]}" sh -c 'cd "$1" && rm -rf tree && mkdir tree && tar -C tree -xof -' sh "$RUN"
    tree=$RUN/tree
  fi
  if [ -n "$EXTRA" ]; then
    "${as[@]}" sh -c 'cat > "$1"' sh "$RUN/extra.toml" < "$EXTRA"
    EXTRA=$RUN/extra.toml
  fi
  say "make run: started as root; going on as uid $owner in $RUN"
  cd /
  exec env RUN="$RUN" HOME="$RUN" EXTRA="$EXTRA" "${as[@]}" "$tree/test/run/run.sh"
}

new_directory() { mkdir -p "$1" && chown -h "$2" "$1"; }

lay_out() {
  ours "$RUN" || die "$RUN is not empty and not of an earlier run"
  mkdir -p "$RUN"
  touch "$RUN/.postrider-run" 2>/dev/null || die "cannot write to $RUN (of an earlier run as another user?)"
  cd "$RUN"
  umask 077
  mkdir -p etc tls sock state spool bin home
  local channel dir
  mkdir -p spool/stage
  for channel in local remote; do
    for dir in new cur log hold bad; do mkdir -p "spool/$channel/$dir"; done
  done
  rm -f sock/* env
  "$tree/bin/mkrun" cert tls "mail.$domain" "$domain" localhost $host ::1
  configure
  make_accounts
  make_programs
}

# The path of a Unix socket ends at 107 bytes. Every process below works in $RUN, so a longer one has a short name.
sockets_of() {
  if [ ${#1} -le 80 ] && [[ $1 != *,* ]]; then printf '%s/sock' "$1"; else printf /proc/self/cwd/sock; fi
}

configure() {
  cat > etc/base.toml <<EOF
version = 1
hostname = "mail.$domain"
origin = "$domain"
single_uid = true
first_valid_uid = $(id -u)
spool_dir = $(toml "$RUN/spool")
run_dir = $(toml "$(sockets_of "$RUN")")
state_dir = $(toml "$RUN/state")
mailbox_user = $(toml "$(id -u)")
mail_root = $(toml "$RUN/home")
${DNS:+resolver = $(toml "$DNS")}

[tables]
aliases = [$(toml "$RUN/etc/aliases")]
users = $(toml "$RUN/etc/users")
passwords = $(toml "$RUN/etc/passwords")
domains = $(toml "$RUN/etc/domains")
virtual = $(toml "$RUN/etc/virtual")
passwd = ""
transport = $(toml "$RUN/etc/transport")
tls_policy = $(toml "$RUN/etc/tls_policy")
relay_auth = $(toml "$RUN/etc/relay_auth")

[tls]
certificate = $(toml "$RUN/tls/cert.pem")
key = $(toml "$RUN/tls/key.pem")

[smtpd]
client_names = false
EOF
  if [ -n "$EXTRA" ]; then
    "$tree/bin/mkrun" merge etc/base.toml "$EXTRA" > etc/postrider.toml
  else
    cp etc/base.toml etc/postrider.toml
  fi
  "$tree/bin/postrider" show -c "$RUN/etc/postrider.toml" >/dev/null || die "wrong configuration"
  echo "$domain local" > etc/domains
  [ -e etc/aliases ] || printf 'postmaster: alice\nroot: alice\n' > etc/aliases
  touch etc/users etc/passwords etc/virtual etc/transport etc/tls_policy etc/relay_auth
}

# Accounts are made once; their passwords are kept beside them, for the next run to print.
make_accounts() {
  local name
  touch etc/accounts
  for name in "${accounts[@]}"; do
    grep -q "^$name " etc/accounts && continue
    local password
    password=$(od -An -N9 -tx1 /dev/urandom | tr -d ' \n')
    printf '%s\n' "$password" |
      "$tree/bin/postrider" user add -c "$RUN/etc/postrider.toml" -uid "$(id -u)" -gid "$(id -g)" -home "$RUN/home/$name" -stdin "$name"
    echo "$name $password" >> etc/accounts
  done
}

password() { sed -n "s/^$1 //p" "$RUN/etc/accounts"; }

# sendmail and its like with this configuration, from any directory.
make_programs() {
  local name
  for name in sendmail mailq newaliases; do
    {
      echo '#!/bin/sh'
      echo "cd $(quoted "$RUN") && exec $(quoted "$tree/bin/$name") -C $(quoted "$RUN/etc/postrider.toml") \"\$@\""
    } > "bin/$name"
    chmod 700 "bin/$name"
  done
}

write_env() {
  local n=0 name
  {
    for name in HOST="$host" DOMAIN="$domain" CAFILE="$RUN/tls/ca.pem" \
      SMTP="$host:$((PORT_BASE + 25))" SUBMISSION="$host:$((PORT_BASE + 587))" SUBMISSIONS="$host:$((PORT_BASE + 465))" \
      IMAP="$host:$((PORT_BASE + 143))" IMAPS="$host:$((PORT_BASE + 993))" \
      POP3="$host:$((PORT_BASE + 110))" POP3S="$host:$((PORT_BASE + 995))" \
      SPOOL="$RUN/spool" CONFIG="$RUN/etc/postrider.toml" \
      SENDMAIL="$RUN/bin/sendmail" MAILQ="$RUN/bin/mailq" NEWALIASES="$RUN/bin/newaliases"; do
      echo "${name%%=*}=$(quoted "${name#*=}")"
    done
    for name in "${accounts[@]}"; do
      n=$((n + 1))
      printf '%s\n' "USER$n=$(quoted "$name")" "PASS$n=$(quoted "$(password "$name")")" \
        "MAILDIR$n=$(quoted "$RUN/home/$name/Maildir")"
    done
  } > env
}

# Each daemon is a job of its own process group, so that Ctrl-C reaches this script alone.
set -m
pids=() names=() below=() # below: what they had started when all was ready

start() { # name, then the sockets for postrider listen
  local name=$1
  shift
  "$tree/bin/postrider" listen -nnp "$@" -- "$tree/bin/$name" -c "$RUN/etc/postrider.toml" </dev/null &
  pids+=($!) names+=("$name")
}

start_all() {
  start authd -socket "auth=unix:$sock/auth"
  start localdeliver -socket "local.ctl=unix:$sock/local.ctl"
  start smtpd -socket "smtp=$host:$((PORT_BASE + 25))" -socket "submission=$host:$((PORT_BASE + 587))" \
    -socket "submissions=$host:$((PORT_BASE + 465))" \
    -socket "submit=unix:$sock/submit" -socket "submit.int=unix:$sock/submit.int"
  start imapd -socket "imap=$host:$((PORT_BASE + 143))" -socket "imaps=$host:$((PORT_BASE + 993))" \
    -socket "imap.ctl=unix:$sock/imap.ctl"
  start pop3d -socket "pop3=$host:$((PORT_BASE + 110))" -socket "pop3s=$host:$((PORT_BASE + 995))" \
    -socket "pop3.ctl=unix:$sock/pop3.ctl"
  if relays; then start relayd -socket "relay.ctl=unix:$sock/relay.ctl"; fi
}

# A trial must not send mail to the world unless that is wanted.
relays() { [ "${RELAY:-0}" != 0 ]; }

# The processes and all below them. The workers of localdeliver are in sessions of their own.
family() {
  local pid
  for pid in "$@"; do
    echo "$pid"
    # shellcheck disable=SC2046
    family $(cat /proc/"$pid"/task/*/children 2>/dev/null)
  done
}

alive() {
  local pid stat
  for pid in "$@"; do
    { read -r stat < "/proc/$pid/stat"; } 2>/dev/null || continue
    [[ $stat = *') Z '* ]] || return 0
  done
  return 1
}

all_there() {
  local pid
  for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || return 1; done
}

end_all() {
  trap '' INT TERM HUP EXIT
  local all pid i
  mapfile -t all < <(family "${pids[@]}" "${below[@]}" | sort -u)
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || :; done
  for ((i = 0; i < grace * 20; i++)); do
    alive "${all[@]}" || break
    sleep 0.05
  done
  for pid in "${all[@]}"; do ! alive "$pid" || kill -KILL "$pid" 2>/dev/null || :; done
  rm -f "$RUN/env" "$RUN"/sock/*
}

# The daemon that is no longer there, with what wait said of it.
culprit() {
  local i
  for i in "${!pids[@]}"; do
    kill -0 "${pids[i]}" 2>/dev/null && continue
    echo "${names[i]} ended unasked, $(ended_how "$1")"
    return
  done
  echo "something ended, $(ended_how "$1")"
}

ended_how() { if [ "$1" -gt 128 ]; then echo "by signal $(($1 - 128))"; else echo "exit status $1"; fi; }

# smtpd greets when it is ready; the sockets of the others are open since before they began.
await_greeting() {
  local i line
  for ((i = 0; i < 200; i++)); do
    all_there || return 1
    if exec 3<>"/dev/tcp/$host/$((PORT_BASE + 25))" && read -r -t 5 line <&3 && [[ $line = 220* ]]; then
      printf 'QUIT\r\n' >&3
      exec 3>&-
      all_there
      return
    fi 2>/dev/null
    sleep 0.05
  done
  return 1
}

explain() {
  local name smtp=$host:$((PORT_BASE + 25)) submissions=$host:$((PORT_BASE + 465)) imaps=$host:$((PORT_BASE + 993))
  local cafile first
  cafile=$(quoted "$RUN/tls/ca.pem") first=$(password alice)
  echo
  echo "Postrider runs in $RUN; mail for $domain:"
  for name in "${accounts[@]}"; do printf '  %-6s password %s\n' "$name" "$(password "$name")"; done
  cat <<EOF

Send a first message, as bob to alice:
  printf 'From: bob@$domain\nTo: alice@$domain\nSubject: hello\n\nIt works.\n' | curl --ssl-reqd --cacert $cafile --url smtps://$submissions --user 'bob:$(password bob)' --mail-from bob@$domain --mail-rcpt alice@$domain --crlf --upload-file -
or from outside, without logging in:
  swaks --server $smtp --to alice@$domain --from friend@example.net
or as a program of this host:
  echo 'It works.' | $(quoted "$RUN/bin/sendmail") alice
Read it, over IMAP:
  curl --cacert $cafile --url 'imaps://$imaps/INBOX;MAILINDEX=1' --user 'alice:$first'
  mutt -e 'set ssl_ca_certificates_file=$cafile imap_user=alice imap_pass=$first' -f imaps://$imaps/
or as the plain files that they are:
  mutt -f $(quoted "$RUN/home/alice/Maildir")
Other mail programs: IMAP at $host:$((PORT_BASE + 143)) (STARTTLS) and $imaps, POP3 at $host:$((PORT_BASE + 110)) and $host:$((PORT_BASE + 995)).

EOF
  if relays; then
    echo "Mail for other domains is really sent, to port 25 of the hosts that the DNS${DNS:+ at $DNS} names. What waits, and why:"
  else
    echo "Mail for other domains waits in the queue; with RELAY=1 it would really be sent. What waits:"
  fi
  printf '  %s\n\n' "$(quoted "$RUN/bin/mailq")"
}

main() {
  PORT_BASE=${PORT_BASE:-2000}
  RELAY=${RELAY:-${DNS:+1}}
  if relays; then daemons+=(relayd); fi
  chosen=${RUN:-}
  RUN=$(absolute "${RUN:-$tree/run}")
  EXTRA=${EXTRA:-}
  [ -z "$EXTRA" ] || EXTRA=$(absolute "$EXTRA")
  [[ $RUN != *$'\n'* ]] || die "RUN must be one line"
  [[ $PORT_BASE =~ ^[0-9]+$ ]] || die "PORT_BASE=$PORT_BASE is not a number"
  for name in "${daemons[@]}" postrider sendmail mailq mkrun; do
    [ -x "$tree/bin/$name" ] || die "bin/$name is missing: run make first"
  done
  if [ "$(id -u)" = 0 ]; then give_up_root; fi

  lay_out
  sock=$(sockets_of "$RUN")
  trap 'end_all; exit 0' INT TERM HUP
  trap end_all EXIT
  start_all
  if await_greeting; then
    mapfile -t below < <(family "${pids[@]}")
    write_env
    explain
    echo ready
  elif all_there; then
    die "smtpd does not answer on $host:$((PORT_BASE + 25))"
  fi
  status=0
  wait -n "${pids[@]}" 2>/dev/null || status=$?
  culprit=$(culprit "$status")
  end_all
  die "$culprit; ended the others"
}

main
