#!/bin/bash
# Runs as root in a fresh system booted by systemd, with an installation in /stage. Every check prints a line; the exit
# status is the number of those that failed.
set -u
failed=0

# check TEXT COMMAND...: the command must succeed
check() {
  local text=$1 out
  shift
  if out=$("$@" 2>&1); then echo "ok      $text"; else
    failed=$((failed + 1))
    printf 'FAILED  %s\n%s\n' "$text" "$(tail -5 <<<"$out")"
  fi
}

# soon COMMAND...: it succeeds within ten seconds
soon() {
  local i
  for ((i = 0; i < 100; i++)); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.1
  done
  "$@"
}

daemons='smtpd localdeliver authd relayd imapd pop3d'

install_suite() {
  cp -a /stage/. /
  systemd-sysusers && systemd-tmpfiles --create || return
  useradd -m -u 2001 sam
  useradd -m -u 2002 carol
  printf '127.0.0.1 localhost rig.example.test rig\n::1 localhost\n' > /etc/hosts
  echo example.test > /etc/mailname
  printf 'root: carol\npostmaster: carol\n' > /etc/aliases
  printf 'example.test local\nvirtual.test virtual\n' > /etc/postrider/domains
  printf 'vera@virtual.test:::::\n' > /etc/postrider/users
  systemctl daemon-reload
  systemctl enable --now postrider.target
}

active() { local d; for d in $daemons; do systemctl is-active "postrider-$d.service" || return; done; }
# mode FILE WANT: e.g. "0666 pr-smtpd pr-smtpd"
mode() { [ "$(stat -c '%04a %U %G' "$1")" = "$2" ] || { stat -c '%n %04a %U %G' "$1"; return 1; }; }
pid() { systemctl show -P MainPID "postrider-$1.service"; }
status() { awk -v key="$2:" '$1 == key { print $2 }' "/proc/$1/status"; }

# smtp RECIPIENT SUBJECT: one message over port 25, every reply as expected
smtp() {
  local step code reply
  exec 3<>/dev/tcp/127.0.0.1/25 || return
  while IFS='|' read -r code step; do
    [ -z "$step" ] || printf '%b\r\n' "$step" >&3
    while IFS= read -r -t 10 reply <&3 && [[ $reply = ???-* ]]; do :; done
    [[ $reply = "$code"* ]] || { echo "$step: $reply"; exec 3>&-; return 1; }
  done <<EOF
220|
250|EHLO client.example.net
250|MAIL FROM:<friend@example.net>
250|RCPT TO:<$1>
354|DATA
250|From: friend@example.net\r\nTo: $1\r\nSubject: $2\r\n\r\nhello\r\n.
221|QUIT
EOF
  exec 3>&-
}

# delivered MAILDIR OWNER SUBJECT: exactly one file with that subject, the recipient's own
delivered() {
  local found
  found=$(grep -rl "^Subject: $3\$" "$1/new" "$1/cur") || return
  [ "$(wc -l <<<"$found")" = 1 ] && [ "$(stat -c %U "$found")" = "$2" ]
}
journal() { journalctl --no-pager -o short -u "postrider-$1.service" | grep -E -- "$2"; }
# queue id of the delivered message, from its file name, must be in both daemons' lines
one_id() {
  local file id
  file=$(ls /home/sam/Maildir/new | head -1)
  id=$(grep -oE '[0-9BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz]{16}' <<<"$file" | head -1)
  [ -n "$id" ] && journal smtpd "$id: client=" && journal localdeliver "$id: to=.*status=sent" && journal localdeliver "$id: removed"
}

no_capabilities() { # daemon: the main process has none and can get none
  local p
  p=$(pid "$1")
  [ "$(status "$p" CapEff)" = 0000000000000000 ] && [ "$(status "$p" CapPrm)" = 0000000000000000 ] &&
    [ "$(status "$p" CapAmb)" = 0000000000000000 ] && [ "$(status "$p" NoNewPrivs)" = 1 ] && [ "$(status "$p" Seccomp)" = 2 ] ||
    { grep -E '^(Cap|NoNew|Seccomp)' "/proc/$p/status"; return 1; }
}
confined() { # daemon MOUNTS: all that is mounted writable for it, beside what systemd and the rig make
  local mounts
  mounts=$(awk '$6 ~ /^rw/ && $5 !~ "^/(dev|proc|sys|run|tmp|var/tmp)(/|$)" { print $5 }' "/proc/$(pid "$1")/mountinfo" | sort)
  echo "$mounts"
  [ "$mounts" = "$2" ]
}
# The two capabilities and nothing ambient, or a worker without any: nothing else below the manager.
spawner_capabilities() { # daemon
  local p found=1
  for p in $(children "$(pid "$1")"); do
    case "$(status "$p" CapEff) $(status "$p" CapAmb) $(status "$p" Uid)" in
    "00000000000000c0 0000000000000000 $(stat -c %u "/proc/$(pid "$1")")") found=0 ;;
    0000000000000000\ 0000000000000000\ *) ;;
    *) grep -E '^(Name|Uid|Cap)' "/proc/$p/status"; return 1 ;;
    esac
  done
  return $found
}
children() { local p; for p in $(pgrep -P "$1"); do echo "$p"; children "$p"; done; }

# score UNIT LIMIT: exposure by systemd-analyze, times ten
score() {
  local s
  s=$(systemd-analyze security --no-pager "$1" | sed -n 's/.*Overall exposure level.*: \([0-9]*\)\.\([0-9]\).*/\1\2/p')
  echo "$1 $s"
  [ "$((10#$s))" -le "$2" ]
}

as_sam() { setpriv --reuid sam --regid sam --clear-groups --no-new-privs env HOME=/home/sam "$@"; }
sends() { printf 'Subject: %s\n\nfrom a program\n' "$1" | as_sam sendmail carol; }
reloads() {
  local d before after
  for d in $daemons; do
    before=$(pid "$d")
    systemctl reload "postrider-$d.service" || return
    after=$(pid "$d")
    [ "$before" = "$after" ] && [ "$before" != 0 ] || return
  done
}
broken_reload() { # keeps the old configuration and says so
  echo 'nonsense = 1' >> /etc/postrider/postrider.toml
  systemctl reload postrider-smtpd.service
  soon journal smtpd 'nonsense' && smtp sam@example.test afterbroken
  local rc=$?
  sed -i '$d' /etc/postrider/postrider.toml
  systemctl reload postrider-smtpd.service
  return $rc
}
waits_for_restart() { # a client that comes while smtpd is down is served when it is up
  systemctl kill -s KILL postrider-smtpd.service
  smtp sam@example.test afterkill && soon delivered /home/sam/Maildir sam afterkill
}
# ask LINE: the first answer of authd
ask() {
  perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new("/run/postrider/auth") or die "auth: $!\n";
    print $s "$ARGV[0]\n"; $s->flush; my $answer = <$s>; print $answer' "$1"
}
login() { ask "auth smtp PLAIN rip=192.0.2.1 lip=192.0.2.2 tls=TLSv1.3 ir=$(printf '\0%s\0%s' "$1" "$2" | base64 -w 0)"; }
system_passwords() { # a right password of a system user holds, a wrong one does not
  echo 'sam:Correct-Horse-9' | chpasswd
  sed -i 's,^#checkpassword = .*,checkpassword = "/run/postrider/checkpassword",' /etc/postrider/postrider.toml
  systemctl reload postrider-authd.service
  soon journal authd reloaded
  local right wrong
  right=$(login sam Correct-Horse-9) wrong=$(login sam wrong)
  echo "$right / $wrong"
  journalctl --no-pager -o short -u postrider-checkpassword.service | tail -3
  [[ $right = "ok name=sam"* ]] && [[ $wrong = no* ]]
}
# sink: a mail host at port 2525 that takes everything and keeps what it was told in /tmp/sink
sink() {
  perl -MIO::Socket::INET -e '
    my $l = IO::Socket::INET->new(LocalAddr => "127.0.0.1:2525", Listen => 5, ReuseAddr => 1) or die "sink: $!\n";
    open(my $log, ">", "/tmp/sink") or die; $log->autoflush;
    while (my $s = $l->accept) {
      my $data = 0;
      print $s "220 sink.example.net ESMTP\r\n";
      while (my $line = <$s>) {
        print $log $line;
        if ($data) { next if $line ne ".\r\n"; $data = 0 } elsif ($line =~ /^DATA/i) { $data = 1; print $s "354 go\r\n"; next }
        print $s $line =~ /^QUIT/i ? "221 bye\r\n" : "250 fine\r\n";
        last if $line =~ /^QUIT/i;
      }
    }' >/dev/null 2>&1 &
}
relays() { # a message for another host reaches it, by a line of the transport table
  sink
  printf '%s\n' 'far.example smtp:[127.0.0.1]:2525' 'nowhere.example error:5.1.2 there is no such place' > /etc/postrider/transport
  printf 'Subject: outward\n\nto another host\n' | as_sam sendmail x@far.example
  soon grep -q '^Subject: outward' /tmp/sink && soon journal relayd 'to=<x@far.example>.*status=sent'
}
bounces() { # what cannot be sent comes back to its sender
  printf 'Subject: nowhere\n\nback\n' | as_sam sendmail x@nowhere.example
  soon grep -rqs 'there is no such place' /home/sam/Maildir/new
}
waits() { # without a DNS mail is kept, and its sender may see why
  printf 'Subject: later\n\nwait\n' | as_sam sendmail x@unknown.example
  soon journal relayd 'to=<x@unknown.example>.*status=deferred' && as_sam mailq | grep -A3 x@unknown.example
}
# One IMAP connection at a time, on descriptor 4, in clear as a client on the same host may.
imap_login() { # USER PASSWORD
  exec 4<>/dev/tcp/127.0.0.1/143 && read -r -t 10 _ <&4 && imap "LOGIN $1 $2"
}
imap() { # COMMAND: prints what comes back; succeeds if that ends in OK
  local line
  printf 't %s\r\n' "$1" >&4
  while IFS= read -r -t 20 line <&4; do
    echo "${line%$'\r'}"
    [[ $line != 't '* ]] || { [[ $line = 't OK'* ]]; return; }
  done
  return 1
}
reads() { # USER SUBJECT
  imap_login "$1" Correct-Horse-9 && imap 'SELECT INBOX' && imap 'FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]' | grep "^Subject: $2"
}
pops() { # USER SUBJECT
  local line
  exec 5<>/dev/tcp/127.0.0.1/110 || return
  printf 'USER %s\r\nPASS Correct-Horse-9\r\nTOP 1 0\r\nQUIT\r\n' "$1" >&5
  timeout 20 cat <&5 | grep "^Subject: $2"
}
passwords_set() {
  local u
  for u in sam carol vera@virtual.test; do echo Correct-Horse-9 | postrider user passwd -stdin "$u" || return; done
}
session_process() { pgrep -u "$1" -f 'authd.* -session'; }
confined_session() { # USER: no capability, no new privileges, system calls filtered
  local p
  p=$(session_process "$1") || return
  [ "$(status "$p" CapEff) $(status "$p" CapPrm) $(status "$p" CapAmb) $(status "$p" NoNewPrivs) $(status "$p" Seccomp)" = \
    "0000000000000000 0000000000000000 0000000000000000 1 2" ] || { grep -E '^(Cap|NoNew|Seccomp)' "/proc/$p/status"; return 1; }
}
# The modes would let sam's session into carol's mailbox; its confinement does not. Where the kernel gives none, as in some
# containers, the log says so, and the session gets there.
cannot_reach_others() {
  chmod 711 /home/carol && chmod -R a+rwX /home/carol/Maildir && ln -s /home/carol/Maildir /home/sam/Maildir/.Carol || return
  as_sam ls /home/carol/Maildir/new >/dev/null || return
  imap_login sam Correct-Horse-9 && imap 'SELECT INBOX' || return
  if journal authd 'files are not confined'; then imap 'SELECT Carol'; else ! imap 'SELECT Carol'; fi
}
survives_restart() { # of authd: the session goes on, and the next login has a process of its own
  local before
  imap_login sam Correct-Horse-9 || return
  before=$(session_process sam)
  systemctl restart postrider-authd.service && imap NOOP && [ "$(session_process sam)" = "$before" ]
}
listed_and_kicked() {
  imap_login sam Correct-Horse-9 && imap NOOP || return
  postrider who | grep sam && as_sam postrider who | grep sam && ! as_sam postrider kick vera@virtual.test && postrider kick sam && ! imap NOOP
}
nothing_left() { ! pgrep -u pr-smtpd,pr-relay,pr-local,pr-front,pr-auth,pr-check,vmail,sam,carol; }

finish() {
  [ $failed = 0 ] || journalctl --no-pager -o short -u 'postrider-*' | tail -60
  echo "-- $failed failed"
  exit $failed
}

echo "-- $(systemctl --version | head -1)"
check 'install, users, directories, enable' install_suite
check 'units load without complaint' systemd-analyze verify --man=no /usr/lib/systemd/system/postrider*
check 'all daemons are active' soon active
[ $failed = 0 ] || finish
while read -r path want; do check "mode of $path" mode "/run/postrider/$path" "$want"; done <<'EOF'
submit 0666 pr-smtpd pr-smtpd
submit.int 0660 pr-smtpd pr-read
auth 0660 pr-auth pr-login
local.ctl 0666 pr-local pr-local
relay.ctl 0666 pr-relay pr-relay
imap.ctl 0666 pr-front pr-front
pop3.ctl 0666 pr-front pr-front
EOF
while read -r path want; do check "mode of spool $path" mode "/var/spool/postrider/$path" "$want"; done <<'EOF'
stage 2700 pr-smtpd pr-read
remote 0711 pr-relay pr-relay
remote/new 1730 pr-relay pr-smtpd
remote/cur 0700 pr-relay pr-relay
local/new 1730 pr-local pr-smtpd
local/cur 0700 pr-local pr-local
EOF
check 'SMTP to a system user' smtp sam@example.test first
check 'its Maildir' soon delivered /home/sam/Maildir sam first
check 'SMTP to a virtual user' smtp vera@virtual.test second
check 'its Maildir, owned by vmail' soon delivered /var/vmail/virtual.test/vera/Maildir vmail second
check 'SMTP to an alias' smtp postmaster third
check 'its Maildir' soon delivered /home/carol/Maildir carol third
check 'one id from the reply to the file' soon one_id
for d in $daemons; do check "capabilities of $d" no_capabilities "$d"; done
check 'capabilities of the spawner and workers' spawner_capabilities localdeliver
check 'capabilities of the spawner of sessions' spawner_capabilities authd
check 'relayd writes to its channel only' confined relayd /var/spool/postrider/remote
check 'smtpd writes to the spool and its state only' confined smtpd $'/var/lib/postrider/smtpd\n/var/spool/postrider'
check 'exposure of smtpd at most 1.5' score postrider-smtpd.service 15
check 'exposure of relayd at most 1.6' score postrider-relayd.service 16
check 'exposure of authd at most 2.8' score postrider-authd.service 28
check 'exposure of localdeliver at most 2.8' score postrider-localdeliver.service 28
check 'exposure of imapd at most 1.6' score postrider-imapd.service 16
check 'exposure of pop3d at most 1.6' score postrider-pop3d.service 16
check 'passwords' passwords_set
check 'a virtual user reads mail over IMAP' reads vera@virtual.test second
check 'and over POP3' pops vera@virtual.test second
check 'a system user reads mail over POP3' pops sam first
check 'and over IMAP' reads sam first
check 'capabilities of its session process' confined_session sam
check 'capabilities below authd' spawner_capabilities authd
check 'a session cannot reach the mail of others' cannot_reach_others
check 'a session survives a restart of authd' survives_restart
check 'postrider who and kick' listed_and_kicked
check 'sendmail by a user without new privileges' sends fourth
check 'its delivery' soon delivered /home/carol/Maildir carol fourth
check 'mail to another host' relays
check 'mail to nowhere comes back' bounces
check 'mail to a name that cannot be looked up waits' waits
if [ -x /usr/libexec/postrider/checkpassword ]; then check 'a system password, through PAM' system_passwords; fi
check 'mailq by a user' as_sam mailq
check 'reload keeps the processes' reloads
check 'mail after the reload' smtp sam@example.test fifth
check 'its Maildir' soon delivered /home/sam/Maildir sam fifth
check 'a broken configuration changes nothing' broken_reload
check 'a client waits for a killed smtpd' waits_for_restart
check 'stop' systemctl stop postrider.target
check 'nothing is left running' soon nothing_left
check 'no unit has failed' bash -c '! systemctl --failed --no-legend | grep postrider'
finish
