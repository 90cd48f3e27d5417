# Postrider: build, try, test, install. `make run` is the place to begin; `make help` lists the rest.
#
# The defaults install under /usr/local; a package uses  make install DESTDIR=… PREFIX=/usr.  Configuration is always
# read from SYSCONFDIR/postrider, mail lies where postrider.toml says (/var/spool/postrider, /var/vmail).

PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
BINDIR     ?= $(PREFIX)/bin
SBINDIR    ?= $(PREFIX)/sbin
LIBEXECDIR ?= $(PREFIX)/libexec/postrider
MANDIR     ?= $(PREFIX)/share/man
DOCDIR     ?= $(PREFIX)/share/doc/postrider
UNITDIR    ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
PAMDIR     ?= /etc/pam.d
DESTDIR    ?=

GO        ?= go
GOFLAGS   ?= -trimpath
LDFLAGS   ?= -s -w
CONFIG     = -X postrider/internal/config.DefaultPath=$(SYSCONFDIR)/postrider/postrider.toml
TESTFLAGS ?=
FUZZTIME  ?= 20s

# checkpassword is the one program that needs cgo and libpam: `make checkpassword`
PROGRAMS = $(filter-out checkpassword,$(patsubst cmd/%/main.go,%,$(wildcard cmd/*/main.go)))
DAEMONS  = $(filter smtpd relayd localdeliver imapd pop3d authd,$(PROGRAMS))
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: all help checkpassword run test bench crash interop soak systemd fuzz lint install clean
.DEFAULT_GOAL = all

all: ## build every program into bin/, static
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build $(GOFLAGS) -ldflags '$(LDFLAGS) $(CONFIG)' -o bin/ $(PROGRAMS:%=./cmd/%)
	@ln -sf sendmail bin/newaliases

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 16

checkpassword: ## build bin/checkpassword (PAM and NSS; needs a C compiler and libpam's headers)
	CGO_ENABLED=1 $(GO) build $(GOFLAGS) -tags pam -ldflags '$(LDFLAGS) $(CONFIG)' -o bin/ ./cmd/checkpassword

run: all ## everything in the foreground, unprivileged: RUN=dir PORT_BASE=2000 RELAY=1 DNS=host:port EXTRA=file.toml
	CGO_ENABLED=0 $(GO) build $(GOFLAGS) -o bin/ ./test/run/mkrun
	@exec test/run/run.sh

test: ## unit tests, fuzz seeds, and dialogues with the real programs
	CGO_ENABLED=1 $(GO) test -race -timeout 15m $(TESTFLAGS) ./...

crash: ## kill -9 and, with POWERCUT=program, power cuts at every step
	POSTRIDER_TEST_TAGS=faults $(GO) test -count=1 -v -timeout 30m -tags faults $(TESTFLAGS) ./test/crash/...

interop: all ## other programs as senders and readers
	$(GO) test -count=1 -v -timeout 25m -tags interop $(TESTFLAGS) ./test/interop/...

soak: all ## an hour: Dovecot in turns with the suite (200 rounds) and beside it (10 minutes), models, differential scripts
	TURNS=200 TURNS_MBSYNC=200 BESIDE=10m $(GO) test -count=1 -v -timeout 90m -tags interop -run 'TestTurns|TestBeside' $(TESTFLAGS) ./test/interop/...
	IMAPD_STRESS=1m DOVECOT_SCRIPTS=2000 $(GO) test -count=1 -timeout 60m -rapid.checks 1000 $(TESTFLAGS) ./internal/imapd
	$(GO) test -count=1 -timeout 60m -rapid.checks 2000 -run Model $(TESTFLAGS) ./internal/mailstore

bench: all ## beside another server: SMTPBENCH=folder of the harness, PEERS=scratch, SERVERS=postfix,postrider
	test/bench/run.sh

systemd: all ## boot the units under a real systemd: SYSTEMD_RIG=program
	test/systemd/test.sh

fuzz: ## every fuzz target for FUZZTIME
	@$(GO) list ./... | while read -r pkg; do \
	  for target in $$($(GO) test -list '^Fuzz' "$$pkg" | grep '^Fuzz'); do \
	    echo "== $$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$pkg" || exit 1; \
	  done; \
	done

lint: ## gofmt, vet, staticcheck, manual pages
	@unformatted=$$(gofmt -l cmd internal test); \
	if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted" >&2; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags faults,interop ./...
	$(STATICCHECK) ./...
	mandoc -T lint -W warning man/*

# Units, sysusers.d and tmpfiles.d are written for PREFIX=/usr and SYSCONFDIR=/etc; other places are put in here.
PLACE = sed -e 's,/usr/libexec/postrider,$(LIBEXECDIR),g' -e 's,/etc/postrider,$(SYSCONFDIR)/postrider,g'
DATA  = install -m 644

# authd and localdeliver are unreadable (711): the kernel lets no user trace what they run under that user's uid.
install: all ## into DESTDIR, below PREFIX and SYSCONFDIR; existing configuration stays
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SBINDIR) $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(UNITDIR) \
	  $(DESTDIR)$(SYSUSERSDIR) $(DESTDIR)$(TMPFILESDIR) $(DESTDIR)$(SYSCONFDIR)/postrider $(DESTDIR)$(DOCDIR)
	install -m 755 $(filter-out bin/authd bin/localdeliver,$(DAEMONS:%=bin/%)) $(DESTDIR)$(LIBEXECDIR)/
	install -m 711 bin/authd bin/localdeliver $(DESTDIR)$(LIBEXECDIR)/
	install -m 755 bin/postrider bin/mailq $(DESTDIR)$(BINDIR)/
	install -m 755 bin/sendmail $(DESTDIR)$(SBINDIR)/
	ln -sf ../sbin/sendmail $(DESTDIR)$(BINDIR)/newaliases
	if [ -x bin/checkpassword ]; then install -m 755 bin/checkpassword $(DESTDIR)$(LIBEXECDIR)/ && \
	  install -d $(DESTDIR)$(PAMDIR) && \
	  { [ -e $(DESTDIR)$(PAMDIR)/postrider ] || $(DATA) etc/pam/postrider $(DESTDIR)$(PAMDIR)/; }; fi
	for page in man/*.[1-8]; do \
	  install -d $(DESTDIR)$(MANDIR)/man$${page##*.} && \
	  $(DATA) $$page $(DESTDIR)$(MANDIR)/man$${page##*.}/ || exit 1; done
	for unit in etc/systemd/postrider*; do \
	  $(PLACE) $$unit > $(DESTDIR)$(UNITDIR)/$${unit##*/} || exit 1; done
	$(PLACE) etc/sysusers.d/postrider.conf > $(DESTDIR)$(SYSUSERSDIR)/postrider.conf
	$(PLACE) etc/tmpfiles.d/postrider.conf > $(DESTDIR)$(TMPFILESDIR)/postrider.conf
	cp -R etc/runit etc/fail2ban $(DESTDIR)$(DOCDIR)/
	for script in etc/runit/*/run; do $(PLACE) $$script > $(DESTDIR)$(DOCDIR)/$${script#etc/}; done
	$(DATA) etc/postrider.toml $(DESTDIR)$(DOCDIR)/
	conf=$(DESTDIR)$(SYSCONFDIR)/postrider/postrider.toml; [ -e $$conf ] || $(DATA) etc/postrider.toml $$conf

clean: ## remove what was built
	rm -rf bin
