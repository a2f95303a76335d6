package command

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/report"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/record"
)

func trailEvent(id, user string) mfa.Event {
	return mfa.Event{
		ID: id, Time: time.Now(), Kind: mfa.EventLogin, Origin: mfa.Origin{Client: "vpn", Group: "vpn", User: mfa.NameOf(user), EndUser: "198.51.100.7"},
		Plan: mfa.PlanPush, Reason: mfa.ReasonApproveDeny, Outcome: mfa.Accept, Method: "push", Total: 8234567890,
	}
}

func TestEventsCommand(t *testing.T) {
	s := newShop(t)
	s.server(func(ctx context.Context, st *store.Store) {
		hostile := trailEvent("l3", "eve\x1b[2J\u202e\n2026-01-01 accept")
		hostile.Client = "lan"
		for _, ev := range []mfa.Event{trailEvent("l1", "anna"), trailEvent("l2", "Bob"), hostile} {
			if err := st.Record(ctx, ev); err != nil {
				t.Fatal(err)
			}
		}
	})
	s.ok("user", "block", "anna")
	for _, tt := range []struct {
		name string
		args []string
		want []string // what the lines hold, in order
	}{
		{"all", nil, []string{"l1", "l2", "l3", "admin"}},
		{"of a user", []string{"--user", "ANNA"}, []string{"l1", "admin"}},
		{"of a client", []string{"--client", "lan"}, []string{"l3"}},
		{"the newest", []string{"--limit", "2"}, []string{"l3", "admin"}},
		{"since", []string{"--since", "1h"}, []string{"l1", "l2", "l3", "admin"}},
		{"since a day", []string{"--since", "2001-02-03", "--user", "bob"}, []string{"l2"}},
		{"since, the newest", []string{"--since", "7d", "--limit", "1"}, []string{"admin"}},
		{"since tomorrow", []string{"--since", "2200-01-01T00:00:00Z"}, nil},
		{"of nobody", []string{"--user", "nobody", "--literal"}, nil},
	} {
		out := s.ok(append([]string{"events"}, tt.args...)...)
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if out == "" {
			lines = nil
		}
		if len(lines) != len(tt.want) {
			t.Errorf("%s: got %d lines; want %d\n%s", tt.name, len(lines), len(tt.want), out)
			continue
		}
		for i, want := range tt.want {
			if !strings.Contains(lines[i], want) {
				t.Errorf("%s: line %d: got %s; want %s in it", tt.name, i, lines[i], want)
			}
		}
		if strings.ContainsAny(out, "\x1b\u202e") {
			t.Errorf("%s: foreign text reached the terminal: %q", tt.name, out)
		}
	}
	want := regexp.MustCompile(`(?m)^\S+ \S+  accept +anna +vpn +198\.51\.100\.7 +push +approve_deny +l1 +total=8\.23s +method=push$`)
	if out := s.ok("events", "--user", "anna"); !want.MatchString(out) {
		t.Errorf("got %s; want a line like %s", out, want)
	}
	s.fails(console.ExitUsage, "--since must be", "events", "--since", "yesterday")
	s.fails(console.ExitUsage, "--limit must be", "events", "--limit", "-1")
}

func TestEventsJSON(t *testing.T) {
	s := newShop(t)
	s.server(func(ctx context.Context, st *store.Store) {
		if err := st.Record(ctx, trailEvent("l1", "<anna>")); err != nil {
			t.Fatal(err)
		}
	})
	out := s.ok("events", "--json")
	var ev mfa.Event
	if err := json.Unmarshal([]byte(out), &ev); err != nil || strings.Count(out, "\n") != 1 {
		t.Fatalf("%v: got %s; want no error, 1 times \"\n\"", err, out)
	}
	if ev.ID != "l1" || ev.User.String() != "<anna>" || ev.Outcome != mfa.Accept || ev.Plan != mfa.PlanPush || ev.Total != 8234567890 {
		t.Errorf("got %+v", ev)
	}
}

// TestEventsJSONPrints: JSON lets characters through that steer a terminal.
func TestEventsJSONPrints(t *testing.T) {
	var out strings.Builder
	user := "eve\x1b[2J\x7f\u009b2J\u202e <\u00e9\U0001f511\U000e0001>"
	p := eventPrinter{out: &out, json: true}
	if err := p.print([]record.Entry{{Event: trailEvent("l1", user)}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), " <\u00e9\U0001f511") || strings.ContainsAny(out.String(), "\x1b\x7f\u009b\u202e\U000e0001") {
		t.Errorf("got %+q", out.String())
	}
	var ev mfa.Event
	if err := json.Unmarshal([]byte(out.String()), &ev); err != nil || ev.User.String() != user {
		t.Errorf("it came back as %+q, %v", ev.User, err)
	}
}

// TestEventsFollow sees an event that comes while it looks, once.
func TestEventsFollow(t *testing.T) {
	s := newShop(t)
	s.server(func(ctx context.Context, st *store.Store) {
		record := func(id string) {
			if err := st.Record(ctx, trailEvent(id, "anna")); err != nil {
				t.Error(err)
			}
		}
		record("before")
		follow, stop := context.WithCancel(ctx)
		out, in := io.Pipe()
		code := make(chan int, 1)
		go func() {
			code <- Run(follow, []string{"-c", filepath.Join(s.dir, "radmatch.yaml"), "events", "--follow"}, strings.NewReader(""), in, io.Discard)
			in.Close()
		}()
		var seen []string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			id := regexp.MustCompile(`before|first|second`).FindString(lines.Text())
			switch seen = append(seen, id); id {
			case "before":
				record("first")
			case "first":
				record("second")
			case "second":
				stop()
			}
		}
		stop()
		if got, want := strings.Join(seen, " "), "before first second"; got != want {
			t.Errorf("got %s; want %s", got, want)
		}
		if c := <-code; c != console.ExitOK {
			t.Errorf("interrupted: exit %d; want %d", c, console.ExitOK)
		}
	})
}

func TestClientsCommand(t *testing.T) {
	s := newShop(t)
	if out := s.ok("clients"); !regexp.MustCompile(`(?m)^vpn +0 .*never$`).MatchString(out) {
		t.Errorf("before the first server:\n%s; want (?m)^vpn +0 .*never$ in it", out)
	}
	addr := netip.MustParseAddr("203.0.113.10")
	s.server(func(ctx context.Context, st *store.Store) {
		err := st.SaveStats(ctx, []store.ClientStats{
			{Client: "old", Packets: 1},
			{Client: "vpn", Packets: 12, Accepts: 3, Rejects: 2, Unsigned: 4, Mean: 1234567, Refused: map[string]uint64{"unsigned": 4}},
		})
		if err != nil {
			t.Fatal(err)
		}
		st.Latch("vpn", addr, time.Now())
	})
	out := s.ok("clients")
	for _, want := range []string{
		`(?m)^vpn +12 +3 +2 +0 +0 +0 +4 +1\.23ms`, `(?m)^old \(not in the configuration\) +1 `,
		`vpn: must sign \(has signed before\): 203\.0\.113\.10`, `vpn: 4 requests came without`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("got\n%s\nwant %s", out, want)
		}
	}
	if out := s.ok("clients", "--json"); !strings.Contains(out, `"client":"vpn","packets":12`) || !strings.Contains(out, `"addr":"203.0.113.10"`) {
		t.Errorf("JSON:\n%s", out)
	}
	s.fails(console.ExitUsage, "must be an IP address", "clients", "unlatch", "vpn", "vpn.example.org")
	s.fails(console.ExitFailure, "not found", "clients", "unlatch", "lan")
	s.fails(console.ExitFailure, "not found", "clients", "unlatch", "vpn", "203.0.113.11")
	s.server(func(_ context.Context, st *store.Store) {
		if out := s.ok("clients", "unlatch", "vpn", "203.0.113.10"); out != "1 unlatched\n" {
			t.Errorf("unlatch: got %q", out)
		}
		if st.Latched("vpn", addr) {
			t.Error("the server does not know of it")
		}
	})
}

// A name with spaces must not pass for other columns of the line.
func TestEventLineQuotesNames(t *testing.T) {
	ev := mfa.Event{Kind: mfa.EventLogin, Origin: mfa.Origin{User: mfa.NameOf("bob  vpn  -  otp  default_otp"), EndUser: `a "b`}}
	line := report.Event(&ev)
	for _, want := range []string{`"bob  vpn  -  otp  default_otp"`, `"a \"b"`} {
		if !strings.Contains(line, want) {
			t.Errorf("want %s in %s", want, line)
		}
	}
}
