GO ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0
# Puts standard input between the marks of the profiles' table.
PROFILES = sed -e '/^<!-- profiles/,/^<!-- end/{//!d}' -e '/^<!-- profiles/r /dev/stdin'

# Tests of every combination: beside the race detector, which has nothing to find
# there, -short takes a sample.
EXHAUSTIVE = ^(TestDecideAlways|TestNameForm|TestCheckNodes)$$

# SQLite is translated from C and has locks of its own: the race detector finds nothing
# of ours in it, and there made the tests of the store four times as slow. The same for
# the loops of password hashes, which share nothing. At its end, a program would sleep for a
# second, so that races in other goroutines are still found. `make check` runs go vet.
TEST = GORACE=atexit_sleep_ms=20 $(GO) test -vet=off -race -short -timeout 30m \
	-gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc/...=-race=false \
	-gcflags=golang.org/x/crypto/blowfish=-race=false -gcflags=golang.org/x/crypto/argon2=-race=false

# Its tests keep two processors busy by themselves: beside them, directories and
# browsers of other tests would not answer in time.
PROGRAM = ./cmd/radmatch/e2e

.PHONY: build run run-cluster test test-cluster soak-cluster fuzz check docs screenshots bench bench-ldap bench-push bench-upstream bench-cluster

# Static: it runs on any Linux, in an empty container too.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/radmatch ./cmd/radmatch

run: build
	test -e radmatch.yaml || bin/radmatch quickstart
	bin/radmatch serve

# Two nodes on a PostgreSQL in a temporary folder, and a login that survives the first one.
run-cluster: build
	testdata/run-cluster

test:
	testdata/install-peers
	$(TEST) $$($(GO) list ./... | grep -v /$(notdir $(PROGRAM))$$)
	$(TEST) $(PROGRAM)
	$(GO) test -vet=off -run '$(EXHAUSTIVE)' ./mfa ./mfa/login
	testdata/fuzz 1s

# Nodes that share PostgreSQL, with faults under load: part of `make test`, here with its figures.
test-cluster:
	testdata/install-peers
	$(TEST) -count=1 -v -run '^(TestCluster|TestNode.*)$$' $(PROGRAM)

# The same faults again and again: SOAK=8h, say.
SOAK = 20m
soak-cluster:
	testdata/install-peers
	RADMATCH_SOAK=$(SOAK) $(TEST) -timeout 24h -count=1 -v -run '^TestCluster$$' $(PROGRAM)

# Each fuzz target for longer than `make test` takes.
fuzz:
	testdata/fuzz 1m

check:
	test -z "$$(gofmt -l cmd config mfa otp radius)" || { gofmt -d cmd config mfa otp radius; exit 1; }
	$(GO) vet ./...
	for os in darwin freebsd; do GOOS=$$os $(GO) build ./... && GOOS=$$os $(GO) vet ./... || exit 1; done
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod tidy -diff
	$(GO) run ./cmd/radmatch config describe --markdown | diff -u docs/configuration.md -
	$(GO) run ./cmd/radmatch config profiles --markdown | $(PROFILES) docs/clients.md | diff -u docs/clients.md -
	$(GO) test -count=1 -run '^(TestImports|TestFolders)$$' ./cmd/radmatch
	testdata/vulncheck $(GOVULNCHECK)

docs:
	$(GO) run ./cmd/radmatch config describe --markdown > docs/configuration.md
	$(GO) run ./cmd/radmatch config profiles --markdown | $(PROFILES) -i docs/clients.md

# The pictures of the page, by a real Chromium.
screenshots:
	testdata/install-peers
	mkdir -p docs/screenshots
	RADMATCH_SCREENSHOTS=$(CURDIR)/docs/screenshots $(GO) test -count=1 -run '^TestScreenshots$$' $(PROGRAM)

# The LDAP primary beside a bare client of the same OpenLDAP server: takes about three minutes.
bench-ldap:
	testdata/install-peers
	mkdir -p bin
	$(GO) run ./cmd/radbench -ldap

# What users with devices wait for, and what 10,000 of them cost, without TLS and with it: takes about three minutes.
bench-push: build
	$(GO) run ./cmd/radbench -push
	$(GO) run ./cmd/radbench -push -tls

# The RADIUS primary beside FreeRADIUS as a proxy, both before the same server: takes about a minute.
bench-upstream: build
	testdata/install-peers
	$(GO) run ./cmd/radbench -upstream -users 10000 -pushes 0

# A decision at one of two nodes for a packet at the other: takes about a minute.
bench-cluster:
	testdata/install-peers
	$(GO) test -run '^$$' -bench '^BenchmarkNodeDecision$$' -benchtime 300x $(PROGRAM)

# Beside FreeRADIUS with rlm_totp: takes about half an hour.
bench: build
	testdata/install-peers
	$(GO) run ./cmd/radbench -radmatch bin/radmatch
