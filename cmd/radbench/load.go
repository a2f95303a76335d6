package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

// report is what `radmatch bench --json` prints, as far as it is used here.
type report struct {
	Logins        int     `json:"logins"`
	Rate          float64 `json:"logins_per_s"`
	Accepted      int     `json:"accepted"`
	Rejected      int     `json:"rejected"`
	Unexpected    int     `json:"unexpected"`
	Lost          int     `json:"lost"`
	Retransmitted int     `json:"retransmitted"`
	Invalid       int     `json:"invalid"`
	Waiting       int     `json:"waiting"`
	Waits         int     `json:"waits"` // users that had no code left
	P50           float64 `json:"p50_ms"`
	P99           float64 `json:"p99_ms"`
	P999          float64 `json:"p999_ms"`
	Max           float64 `json:"max_ms"`
}

// result is one run against one server.
type result struct {
	report
	cpu      float64 // µs a login, of the server
	resident float64 // MiB
}

// load is one run of `radmatch bench`.
type load struct {
	mode             string
	inFlight, logins int
	rate             int // logins that begin each second; 0: inFlight at once
	skip             int
	duration         time.Duration
}

// run sends logins to a server and measures what they cost it.
func (b *bench) run(ctx context.Context, s *server, l load) (*result, error) {
	if l.mode == "totp" {
		if err := b.awaitStep(ctx, s, l); err != nil {
			return nil, err
		}
	}
	before, err := s.cpu()
	if err != nil {
		return nil, err
	}
	r := &result{}
	if r.report, err = b.send(ctx, s, l); err != nil {
		return nil, err
	}
	after, err := s.cpu()
	if err != nil {
		return nil, err
	}
	r.cpu = float64((after - before).Microseconds()) / float64(max(r.Logins, 1))
	if r.resident, err = s.resident(); err != nil {
		return nil, err
	}
	if l.rate > 0 {
		b.offeredRow(s.name, l.rate, r)
	} else {
		b.row(s, l.inFlight, r)
	}
	b.judge(s, l, r)
	return r, nil
}

// refused counts the logins that got another answer than they should.
func (r *report) refused() int { return r.Rejected + r.Unexpected + r.Invalid }

// judge notes logins of radmatch that were lost or refused. A slow machine may
// end a run before all its logins were begun. FreeRADIUS 3.2.1 refuses one in
// tens of thousands when its two threads are pressed hard: it is shown, and is
// not ours to judge.
func (b *bench) judge(s *server, l load, r *result) {
	if s.name != radmatchName {
		return
	}
	b.accepted += r.Accepted
	honest := 0 // a code of a counter may be the digits of one of the ten before it: one in 100,000
	if l.mode == "hotp" {
		honest = r.Logins / 10_000
	}
	if r.refused()+r.Lost > honest || l.rate > 0 && r.Waits > 0 {
		b.failures = append(b.failures, fmt.Sprintf("with %d in flight, %d a second offered: %d accepted, %d rejected, %d unexpected, %d lost, %d invalid, %d without a code",
			l.inFlight, l.rate, r.Accepted, r.Rejected, r.Unexpected, r.Lost, r.Invalid, r.Waits))
	}
}

func (b *bench) send(ctx context.Context, s *server, l load) (r report, err error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, b.radmatch, "bench", s.addr, "--json",
		"--secret-file", b.path("secret"), "--users", b.path("bench.txt"),
		"--mode", l.mode, "--in-flight", strconv.Itoa(max(1, min(l.inFlight, 1<<16))), "--rate", strconv.Itoa(l.rate), "--logins", strconv.Itoa(l.logins),
		"--skip", strconv.Itoa(l.skip), "--duration", l.duration.String())
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return r, fmt.Errorf("radmatch bench: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		return r, fmt.Errorf("radmatch bench: %w: %q", err, stdout.Bytes())
	}
	return r, nil
}

const step = 30 * time.Second // of TOTP

// given is a server that was given codes of the users from this one on.
type given struct {
	server string
	skip   int
}

// awaitStep returns when a run may begin. The present TOTP step must have room
// for it, because rlm_totp takes no code of the step before; and a server that takes
// no code twice must not have seen one of this step from these users.
func (b *bench) awaitStep(ctx context.Context, s *server, l load) error {
	for {
		now := time.Now()
		n := now.UnixNano() / int64(step)
		left := time.Unix(0, (n+1)*int64(step)).Sub(now)
		at := given{s.name, l.skip}
		if left >= l.duration && (s.name == freeradiusName || n > b.lastStep[at]) {
			b.lastStep[at] = n
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(left + 100*time.Millisecond):
		}
	}
}
