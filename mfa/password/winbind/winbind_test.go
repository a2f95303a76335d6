package winbind

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"layeh.com/radius/rfc2759"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

const fakePassword = "right horse"

// fakeNTLM is an ntlm whose helpers are this test program, which behaves as
// said: see TestFakeNTLMHelper. asked returns the questions so far.
func fakeNTLM(t *testing.T, behaviour string, helpers int) (w *Checker, asked func() []string) {
	t.Helper()
	dir := t.TempDir()
	program, log := filepath.Join(dir, "ntlm_auth"), filepath.Join(dir, "log")
	script := fmt.Sprintf("#!/bin/sh\necho start $# $* $(env | grep -v -e ^PWD= -e ^_= -e ^OLDPWD= -e ^SHLVL=) >>%[1]s\nFAKE='%[2]s' LOG=%[1]s GORACE=atexit_sleep_ms=0 exec %[3]s -test.run='^TestFakeNTLMHelper$'\n", log, behaviour, os.Args[0])
	syscall.ForkLock.RLock() // a program that another test starts now would keep it open, and busy
	err := os.WriteFile(program, []byte(script), 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	w, err = New(program, helpers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w, func() []string {
		text, err := os.ReadFile(log)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	}
}

// TestFakeNTLMHelper is no test of its own: it is the helper of the others. It
// knows one user of the domain EXAMPLE, alice, whose response must have been
// computed with that name.
func TestFakeNTLMHelper(t *testing.T) {
	behaviour := os.Getenv("FAKE")
	if behaviour == "" {
		t.Log("run by other tests")
		return
	}
	log, err := os.OpenFile(os.Getenv("LOG"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		os.Exit(1)
	}
	in := bufio.NewScanner(os.Stdin)
	for n := 0; ; n++ {
		q := map[string]string{}
		for in.Scan() && in.Text() != "." {
			name, value, _ := strings.Cut(in.Text(), ": ")
			if plain, ok := strings.CutSuffix(name, ":"); ok {
				b, _ := base64.StdEncoding.DecodeString(value)
				name, value = plain, string(b)
			}
			q[name] = value
		}
		if in.Text() != "." {
			os.Exit(0)
		}
		fmt.Fprintf(log, "question %s\n", q["Username"])
		fmt.Print(fakeAnswer(behaviour, n, q))
	}
}

func fakeAnswer(behaviour string, n int, q map[string]string) string {
	what, text, _ := strings.Cut(behaviour, " ")
	refuse := func(text string) string {
		return "Authenticated: No\nAuthentication-Error: " + text + "\n.\n.\n"
	}
	switch what {
	case "hang":
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	case "crash":
		fmt.Fprintln(os.Stderr, "out of cheese")
		os.Exit(3)
	case "once": // dies after its first answer
		if n > 0 {
			os.Exit(0)
		}
	case "says":
		return text + "\n.\n"
	case "refuses":
		return refuse(text)
	case "chatters": // an answer too many, as if a question had been two
		return refuse(refusals[0].text) + "Authenticated: Yes\nUser-Session-Key: 000102030405060708090A0B0C0D0E0F\n.\n"
	}
	utf16, _ := rfc2759.ToUTF16([]byte(fakePassword))
	var challenge []byte
	fmt.Sscanf(q["LANMAN-Challenge"], "%x", &challenge)
	right := fmt.Sprintf("%x", rfc2759.ChallengeResponse(challenge, rfc2759.NTPasswordHash(utf16)))
	switch {
	case q["NT-Domain"] != "EXAMPLE" || q["Username"] != "alice":
		return refuse("The specified account does not exist.")
	case q["NT-Response"] != right || q["Request-User-Session-Key"] != "Yes":
		return refuse(refusals[0].text)
	}
	return fmt.Sprintf("Authenticated: Yes\nUser-Session-Key: %X\n.\n", passwordtest.Keys("", fakePassword).NTHashHash)
}

func TestNTLM(t *testing.T) {
	t.Parallel()
	w, asked := fakeNTLM(t, "honest", 2)
	for _, c := range []struct {
		name, domain, account, password string
		want                            error
	}{
		{"right", "EXAMPLE", "alice", fakePassword, nil},
		{"wrong", "EXAMPLE", "alice", "wrong", mfa.ErrRejected},
		{"right after wrong", "EXAMPLE", "alice", fakePassword, nil},
		{"unknown", "EXAMPLE", "nobody", fakePassword, mfa.ErrRejected},
		{"other domain", "OTHER", "alice", fakePassword, mfa.ErrRejected},
		{"line break", "EXAMPLE", "bob\nUsername: alice", fakePassword, mfa.ErrUnsupported},
		{"NUL", "EXAMPLE", "alice\x00bob", fakePassword, mfa.ErrUnsupported},
		{"a domain in the account", "EXAMPLE", `EXAMPLE\alice`, fakePassword, mfa.ErrUnsupported},
		{"a UPN as account", "EXAMPLE", "alice@example", fakePassword, mfa.ErrUnsupported},
		{"no domain", "", "alice", fakePassword, mfa.ErrUnsupported},
		{"no account", "EXAMPLE", "", fakePassword, mfa.ErrUnsupported},
		{"not UTF-8", "EXAMPLE", "alice\xff", fakePassword, mfa.ErrUnsupported},
		{"long", "EXAMPLE", strings.Repeat("a", 256), fakePassword, mfa.ErrUnsupported},
	} {
		keys, err := w.Check(t.Context(), c.domain, c.account, "alice", passwordtest.Response(t, "alice", c.password))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if (keys == nil) != (c.want != nil) || keys != nil && *keys != passwordtest.Keys("alice", fakePassword) {
			t.Errorf("%s: wrong keys", c.name)
		}
	}
	lines := asked()
	if lines[0] != "start 2 --helper-protocol=ntlm-server-1 --allow-mschapv2" {
		t.Errorf("arguments and environment of the helper: got %q; want \"start 2 --helper-protocol=ntlm-server-1 --allow-mschapv2\"", lines[0])
	}
	if want := "question alice,question alice,question alice,question nobody,question alice"; strings.Join(lines[1:], ",") != want {
		t.Errorf("one helper was asked %q, want %s", lines[1:], want)
	}
}

// TestNTLMQuestion: whatever the names hold, a question has its six lines.
func TestNTLMQuestion(t *testing.T) {
	for _, name := range []string{"alice", "", "a\nPassword: x\n.\n", ".", strings.Repeat("é\n", 500)} {
		q := questionOf(name, name, make([]byte, 8), make([]byte, 24))
		if strings.Count(q, "\n") != 6 || !strings.HasSuffix(q, "\n.\n") || strings.Count(q, ".\n") != 1 {
			t.Errorf("question for %q: got %q; want 6 times \"\n\", \"\n.\n\" last, 1 times \".\n\"", name, q)
		}
	}
}

func TestNTLMErrors(t *testing.T) {
	for _, c := range []struct{ name, behaviour, want string }{
		{"crash", "crash", "ended without an answer; it says \"out of cheese\""},
		{"no DC", "refuses No logon servers are currently available to service the logon request.", "No logon servers"},
		{"winbind is down", "refuses Reading winbind reply failed!", "Reading winbind reply failed!"},
		{"a text that is not known", "refuses Computer says no", "Computer says no"},
		{"right without a key", "says Authenticated: Yes", "without the session key"},
		{"an error", "says Error: Parameter not found!", "unexpected answer"},
		{"more than was asked", "chatters", "more than it was asked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, _ := fakeNTLM(t, c.behaviour, 1)
			_, err := w.Check(t.Context(), "EXAMPLE", "alice", "alice", passwordtest.Response(t, "alice", fakePassword))
			if err == nil || errors.Is(err, mfa.ErrRejected) || errors.Is(err, mfa.ErrUnsupported) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error that no answer was had: %s", err, c.want)
			}
		})
	}
}

// TestNTLMKilled: a helper that said too much is not asked again.
func TestNTLMKilled(t *testing.T) {
	t.Parallel()
	w, asked := fakeNTLM(t, "chatters", 1)
	for range 2 {
		if keys, err := w.Check(t.Context(), "EXAMPLE", "alice", "alice", passwordtest.Response(t, "alice", "wrong")); err == nil || keys != nil {
			t.Errorf("the answer to another question was taken")
		}
		w.mu.Lock()
		w.retry = time.Time{}
		w.mu.Unlock()
	}
	if lines := asked(); len(lines) != 4 {
		t.Errorf("got %q, want two helpers, asked once each", lines)
	}
}

// TestNTLMHang: a helper that hangs costs its question no more than the timeout,
// and is gone afterwards; who gives up before waits no longer.
func TestNTLMHang(t *testing.T) {
	t.Parallel()
	w, _ := fakeNTLM(t, "hang", 1)
	w.Timeout = 200 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Check(ctx, "EXAMPLE", "alice", "alice", passwordtest.Response(t, "alice", fakePassword)); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: got %v", err)
	}
	// It waits for the first question, whose helper hangs, and then has no time left.
	for range 2 {
		_, err := w.Check(t.Context(), "EXAMPLE", "alice", "alice", passwordtest.Response(t, "alice", fakePassword))
		if err == nil || errors.Is(err, mfa.ErrRejected) {
			t.Errorf("a helper that hangs: got %v", err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.idle) != 0 || w.last == nil || !strings.Contains(w.last.Error(), "no answer in time") {
		t.Errorf("got %d helpers are kept, the last error is %v; want no idle, last set, \"no answer in time\" in it", len(w.idle), w.last)
	}
}

// TestNTLMBusy: more questions than may wait are refused at once.
func TestNTLMBusy(t *testing.T) {
	t.Parallel()
	w, _ := fakeNTLM(t, "hang", 1)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	errs := make(chan error, 2*waitersPerHelper)
	for range cap(errs) {
		c := passwordtest.Response(t, "alice", fakePassword)
		wg.Go(func() {
			_, err := w.Check(ctx, "EXAMPLE", "alice", "alice", c)
			errs <- err
		})
	}
	for range cap(errs) - waitersPerHelper - 1 {
		if err := <-errs; !errors.Is(err, password.ErrBusy) {
			t.Errorf("got %v, want ErrBusy", err)
		}
	}
	cancel()
	wg.Wait()
}

// TestNTLMRestart: a helper that died while it was idle is replaced without an
// error; one that died at work is started again, after a while.
func TestNTLMRestart(t *testing.T) {
	t.Parallel()
	check := func(w *Checker) error {
		_, err := w.Check(t.Context(), "EXAMPLE", "alice", "alice", passwordtest.Response(t, "alice", fakePassword))
		return err
	}
	w, _ := fakeNTLM(t, "honest", 1)
	if err := check(w); err != nil {
		t.Fatal(err)
	}
	w.idle[0].cmd.Process.Kill()
	<-w.idle[0].ended
	if err := check(w); err != nil {
		t.Errorf("after the idle helper died: got error %v; want none", err)
	}

	w, asked := fakeNTLM(t, "once", 1)
	for i, want := range []string{"", "ended without an answer", "not started again before"} {
		if err := check(w); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("check %d: got %v, want %q", i, err, want)
		}
	}
	w.retry = time.Time{}
	if err := check(w); err != nil {
		t.Errorf("after the wait: got error %v; want none", err)
	}
	if got := strings.Count(strings.Join(asked(), "\n"), "start"); got != 2 {
		t.Errorf("%d helpers were started, want 2", got)
	}
}

func TestNTLMBackoff(t *testing.T) {
	now := time.Now()
	var w Checker
	for i, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 5000, 5000} {
		w.failed(errors.New("x"), now)
		if got := w.retry.Sub(now); got != want*time.Millisecond {
			t.Errorf("after failure %d: start waits %v, want %v", i+1, got, want*time.Millisecond)
		}
	}
	w.failures = 1 << 20
	w.failed(errors.New("x"), now)
	if got := w.retry.Sub(now); got != maxBackoff {
		t.Errorf("after many failures: start waits: got %v; want %v", got, maxBackoff)
	}
}

// TestNTLMAskedOnce: a response that a NAS repeats is asked for once, also when
// the repetitions come at the same time; another response is asked for.
func TestNTLMAskedOnce(t *testing.T) {
	t.Parallel()
	w, asked := fakeNTLM(t, "honest", 4)
	c := passwordtest.Response(t, "alice", "wrong")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := w.Check(t.Context(), "EXAMPLE", "alice", "alice", c); !errors.Is(err, mfa.ErrRejected) {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	questions := func() int { return strings.Count(strings.Join(asked(), "\n"), "question") }
	if got := questions(); got != 1 {
		t.Errorf("asked %d times, want once", got)
	}
	for range 2 { // what is right is never remembered
		if _, err := w.Check(t.Context(), "EXAMPLE", "alice", "alice", passwordtest.Response(t, "alice", fakePassword)); err != nil {
			t.Error(err)
		}
	}
	if got := questions(); got != 3 {
		t.Errorf("asked %d times, want 3", got)
	}
}

func TestNTLMMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked()
		settle := func(key byte, err error) {
			v, first := a.claim([32]byte{key}, time.Now())
			if !first {
				t.Fatalf("question %d was asked before", key)
			}
			a.settle(v, [16]byte{}, err, time.Now())
		}
		known := func(key byte) bool {
			v, first := a.claim([32]byte{key}, time.Now())
			if first {
				a.settle(v, [16]byte{}, errors.New("no answer"), time.Now())
			}
			return !first
		}
		settle(1, mfa.ErrRejected)
		settle(2, nil)
		settle(3, errors.New("no answer"))
		settle(4, &mfa.AccountError{Reason: mfa.ReasonAccountLocked})
		for key, want := range []bool{1: true, 2: false, 3: false, 4: true} {
			if key > 0 && known(byte(key)) != want {
				t.Errorf("question %d: remembered %v, want %v", key, !want, want)
			}
		}
		time.Sleep(memory)
		if known(1) {
			t.Error("a refusal is remembered for too long")
		}
		for i := range 2 * maxAsked {
			v, _ := a.claim([32]byte{9, byte(i), byte(i >> 8)}, time.Now())
			a.settle(v, [16]byte{}, mfa.ErrRejected, time.Now())
		}
		if a.verdicts.Len() != maxAsked {
			t.Errorf("%d questions are remembered, want %d", a.verdicts.Len(), maxAsked)
		}
		time.Sleep(memory)
		settle(1, mfa.ErrRejected)
		if !known(1) || a.verdicts.Len() != 1 {
			t.Errorf("old questions hold the room: %d", a.verdicts.Len())
		}
	})
}

func TestNTLMConnect(t *testing.T) {
	for _, c := range []struct{ behaviour, step string }{
		{"honest", ""},
		{"refuses " + noWinbind, "winbind"},
		{"refuses No logon servers are currently available to service the logon request.", "domain"},
		{"crash", "helper"},
		{"says Authenticated: Yes\nUser-Session-Key: " + aKey, "domain"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			t.Parallel()
			w, _ := fakeNTLM(t, c.behaviour, 1)
			err := w.Connect(t.Context())
			var failed *mfa.ConnectError
			switch {
			case c.step == "" && err != nil:
				t.Error(err)
			case c.step != "" && (!errors.As(err, &failed) || failed.Step != c.step || failed.Hint == "" || failed.Err == nil):
				t.Errorf("got %v, want step %s", err, c.step)
			}
		})
	}
}

func TestNewNTLM(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, plain, filepath.Join(dir, "none")} {
		if w, err := New(path, 1); err == nil || w != nil {
			t.Errorf("%s: got no error", path)
		}
	}
}
