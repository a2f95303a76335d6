package command

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/nas"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius"
	"github.com/radmatch/radmatch/radius/listen"
	"github.com/radmatch/radmatch/radius/profile"
)

// codeServer challenges the password "right" and accepts each code once. The
// user "push" waits without end.
type codeServer struct {
	mu      sync.Mutex
	used    map[string]int
	counts  map[string]int64 // not nil: codes are of counters, by user
	waiting int
	stall   time.Duration // before the first answer
}

func (s *codeServer) Authenticate(_ context.Context, r *mfa.Request, reply func(mfa.Decision)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	password, _ := r.Cred.(mfa.Password)
	time.Sleep(s.stall)
	s.stall = 0
	switch {
	case r.State == "s "+r.User.String() && s.counts != nil:
		n := s.counts[r.User.String()]
		s.counts[r.User.String()]++
		if string(password) == rfcCode([]byte(r.User.String()), n) {
			reply(mfa.Decision{Outcome: mfa.Accept})
			return
		}
	case r.State == "" && password == "push":
		s.waiting++
		return
	case r.State == "" && password == "right":
		reply(mfa.Decision{Outcome: mfa.Challenge, State: "s " + r.User.String(), Message: "Code: "})
		return
	case r.State == "s "+r.User.String():
		step := time.Now().Unix() / 30
		for _, code := range []string{rfcCode([]byte(r.User.String()), step), rfcCode([]byte(r.User.String()), step-1)} {
			if string(password) == code {
				s.used[r.User.String()+code]++
				reply(mfa.Decision{Outcome: mfa.Accept})
				return
			}
		}
	}
	reply(mfa.Decision{})
}

// onceEach checks that no code was sent twice.
func (s *codeServer) onceEach(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for code, n := range s.used {
		if n > 1 {
			t.Errorf("the code %q was sent %d times; want at most 1", code, n)
		}
	}
}

// benchSetup serves a codeServer and writes the files that bench reads.
func benchSetup(t *testing.T, password string, users int) (*codeServer, []string) {
	t.Helper()
	table, err := radius.NewTable([]radius.Client{{
		Name: "bench", Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Secrets: [][]byte{[]byte("bench secret")}, Profile: &profile.Profile{}, Policy: &mfa.Client{},
	}})
	if err != nil {
		t.Fatal(err)
	}
	codes := &codeServer{used: make(map[string]int)}
	server := &radius.Server{}
	server.Swap(radius.Service{Table: table, Authenticator: codes})
	sockets := &listen.UDP{Server: server}
	if err := sockets.Open(t.Context(), []string{"127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		server.Shutdown(ctx)
	})
	var lines strings.Builder
	for i := range users {
		name := fmt.Sprintf("user%d", i)
		fmt.Fprintf(&lines, "%s %s %s\n", name, password, base32.StdEncoding.EncodeToString([]byte(name)))
	}
	dir := t.TempDir()
	secretFile, usersFile := filepath.Join(dir, "secret"), filepath.Join(dir, "users")
	for file, text := range map[string]string{secretFile: "bench secret\n", usersFile: lines.String()} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return codes, []string{"bench", sockets.Addrs()[0].String(), "--secret-file", secretFile, "--users", usersFile, "--json"}
}

func runBench(t *testing.T, args ...string) nas.BenchReport {
	t.Helper()
	var out, errs bytes.Buffer
	if code := Run(t.Context(), args, nil, &out, &errs); code != console.ExitOK {
		t.Fatalf("exit %d: got %s; want console.ExitOK", code, errs.String())
	}
	var report nas.BenchReport
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("%v: got %s; want no error", err, out.String())
	}
	return report
}

func TestBench(t *testing.T) {
	codes, args := benchSetup(t, "right", 300)
	r := runBench(t, append(args, "--logins", "250", "--in-flight", "20", "--duration", "60s")...)
	if r.Accepted != 250 || r.Logins != 250 || r.Lost+r.Rejected+r.Unexpected+r.Invalid != 0 || r.P99 < r.P50 || r.P50 <= 0 {
		t.Errorf("report %+v", r)
	}
	codes.onceEach(t)
}

func TestBenchCountsRejects(t *testing.T) {
	_, args := benchSetup(t, "wrong", 50)
	if r := runBench(t, append(args, "--logins", "50")...); r.Rejected != 50 || r.Accepted != 0 {
		t.Errorf("got report %+v; want Rejected 50, Accepted 0", r)
	}
}

// Runs that begin behind each other share no user.
func TestBenchSkip(t *testing.T) {
	const runs, logins = 5, 100
	codes, args := benchSetup(t, "right", runs*logins)
	for i := range runs {
		r := runBench(t, append(args, "--logins", fmt.Sprint(logins), "--in-flight", "64", "--skip", fmt.Sprint(i*logins))...)
		if r.Accepted != logins || r.Waits != 0 {
			t.Errorf("report %+v", r)
		}
	}
	codes.mu.Lock()
	defer codes.mu.Unlock()
	if len(codes.used) != runs*logins {
		t.Errorf("%d users have signed in, want %d", len(codes.used), runs*logins)
	}
}

// With fewer users than logins the run waits rather than send a code twice.
func TestBenchRunsOutOfUsers(t *testing.T) {
	codes, args := benchSetup(t, "right", 5)
	r := runBench(t, append(args, "--in-flight", "4", "--duration", "300ms")...)
	if r.Waits == 0 || r.Rejected != 0 {
		t.Errorf("report %+v", r)
	}
	codes.onceEach(t)
}

// A server that stands still at first cannot hide it: what was due meanwhile is late.
func TestBenchRate(t *testing.T) {
	codes, args := benchSetup(t, "right", 100)
	codes.mu.Lock()
	codes.stall = 400 * time.Millisecond
	codes.mu.Unlock()
	r := runBench(t, append(args, "--logins", "100", "--rate", "200", "--duration", "60s")...)
	if r.Accepted != 100 || r.Waits != 0 || r.Seconds < 0.49 {
		t.Errorf("got report %+v; want 100 accepted, in 0.5 s at least", r)
	}
	if r.P50 < 100 {
		t.Errorf("got p50 %.1f ms; want 100 at least: most of the logins were due while the server stood still", r.P50)
	}
	codes.onceEach(t)
}

// With codes of a counter a user signs in again and again.
func TestBenchCounters(t *testing.T) {
	codes, args := benchSetup(t, "right", 10)
	codes.mu.Lock()
	codes.counts = map[string]int64{}
	codes.mu.Unlock()
	r := runBench(t, append(args, "--mode", "hotp", "--logins", "100", "--rate", "1000", "--duration", "60s")...)
	if r.Accepted < 95 || r.Rejected != 0 {
		t.Errorf("got report %+v; want 95 accepted at least, none rejected", r)
	}
}

func TestBenchPush(t *testing.T) {
	codes, args := benchSetup(t, "push", 450)
	r := runBench(t, append(args, "--mode", "push", "--logins", "450", "--duration", "3s")...)
	codes.mu.Lock()
	defer codes.mu.Unlock()
	if r.Waiting != 450 || r.Retransmitted != 0 || codes.waiting != 450 {
		t.Errorf("report %+v; the server has %d; want Waiting 450, Retransmitted 0, waiting 450", r, codes.waiting)
	}
}

func TestBenchStatus(t *testing.T) {
	_, args := benchSetup(t, "right", 1)
	if r := runBench(t, append(args, "--mode", "status", "--logins", "10", "--in-flight", "2")...); r.Accepted != 10 {
		t.Errorf("got report %+v; want Accepted 10", r)
	}
}

func TestBenchUsage(t *testing.T) {
	for _, args := range [][]string{
		{"bench", "--mode", "nosuch"}, {"bench", "--in-flight", "0"}, {"bench", "--rate", "-1"}, {"bench", "--mode", "push"}, {"bench"}, {"bench", "a", "b"},
	} {
		var out, errs bytes.Buffer
		if code := Run(t.Context(), args, nil, &out, &errs); code != console.ExitUsage {
			t.Errorf("%v: exit %d: got %s; want console.ExitUsage", args, code, errs.String())
		}
	}
}
