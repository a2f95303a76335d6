package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/push/pushtest"
	"github.com/radmatch/radmatch/mfa/web"
)

// phoneRig is a server of the device protocol and an enrolled phone.
type phoneRig struct {
	store    *pushtest.Store
	approver *push.Approver
	url      string
	state    string
}

func newPhoneRig(t *testing.T) *phoneRig {
	st := &pushtest.Store{}
	r := &phoneRig{store: st, approver: &push.Approver{Store: st}, state: filepath.Join(t.TempDir(), "new", "phone.json")}
	pages := &web.Server{Approver: r.approver, Store: st, Heartbeat: 50 * time.Millisecond}
	srv := httptest.NewServer(pages.Handler())
	t.Cleanup(srv.Close)
	t.Cleanup(pages.Close)
	r.url = srv.URL
	code, out, errs := phoneRun(t, "", "enroll", r.invite("alice"), "--name", "pixel", "--state", r.state)
	if code != exitOK || !strings.Contains(out, `device "pixel" of alice`) {
		t.Fatalf("enrol: %d %s %s", code, out, errs)
	}
	return r
}

func (r *phoneRig) invite(user string) string {
	return device.InvitationLink(r.url, r.store.Invite(user, time.Now().Add(time.Hour)))
}

func phoneRun(t *testing.T, stdin string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), append([]string{"phone"}, args...), strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

// push starts a prompt of alice and returns what becomes of it.
func (r *phoneRig) push(ctx context.Context, id, number string) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := r.approver.Push(ctx, mfa.Prompt{ID: id, User: mfa.NameOf("alice"), Client: "vpn\x1b[2J", Number: number, Started: time.Now(),
			Expires: time.Now().Add(time.Minute), Requests: []mfa.PromptRequest{{Time: time.Now(), Client: "vpn", EndUser: "DESKTOP\x07"}}})
		done <- err
	}()
	return done
}

func TestPhoneEnroll(t *testing.T) {
	r := newPhoneRig(t)
	if info, err := os.Stat(r.state); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("state file: %v %v", info, err)
	}
	if info, err := os.Stat(filepath.Dir(r.state)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its directory: %v %v", info, err)
	}
	before, _ := os.ReadFile(r.state)
	link := r.invite("alice")
	if code, _, errs := phoneRun(t, "", "enroll", link, "--state", r.state); code != exitFailure || !strings.Contains(errs, "--force") {
		t.Errorf("again: %d %s", code, errs)
	}
	if now, _ := os.ReadFile(r.state); !bytes.Equal(now, before) {
		t.Error("the key was replaced")
	}
	if code, _, errs := phoneRun(t, "", "enroll", link, "--state", r.state, "--force"); code != exitOK {
		t.Errorf("with --force: %d %s", code, errs)
	}
	token := link[strings.Index(link, "#")+1:]
	other := filepath.Join(filepath.Dir(r.state), "other.json")
	code, out, errs := phoneRun(t, "", "enroll", link, "--state", other)
	if code != exitFailure || !strings.Contains(errs, "invitation") || strings.Contains(out+errs, token) {
		t.Errorf("used link: %d %s", code, errs)
	}
	if files, _ := os.ReadDir(filepath.Dir(r.state)); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
	for _, args := range [][]string{{"enroll"}, {"enroll", "nonsense"}, {"enroll", r.url + "/enroll"}, {"watch", "now"},
		{"watch", "--approve", "--deny"}, {"watch", "--number", ""}, {"watch", "--number", "4x"}, {"watch", "--never"}} {
		if code, _, errs := phoneRun(t, "", args...); code != exitUsage || !strings.Contains(errs, "hint: ") {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
}

func TestPhoneStateFile(t *testing.T) {
	r := newPhoneRig(t)
	watch := func() (int, string) {
		code, _, errs := phoneRun(t, "", "watch", "--approve", "--once", "--state", r.state)
		return code, errs
	}
	if err := os.Chmod(r.state, 0o644); err != nil {
		t.Fatal(err)
	}
	if code, errs := watch(); code != exitFailure || !strings.Contains(errs, "chmod 600") {
		t.Errorf("readable by others: %d %s", code, errs)
	}
	for _, text := range []string{"", "{}", `{"format":1,"key":"AAAA"}`, `{"format":2}`} {
		if err := os.Remove(r.state); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(r.state, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, errs := watch(); code != exitFailure || !strings.Contains(errs, "phone enroll") {
			t.Errorf("%q: %d %s", text, code, errs)
		}
	}
	_ = os.Remove(r.state)
	if code, errs := watch(); code != exitFailure || !strings.Contains(errs, "not enrolled") {
		t.Errorf("not there: %d %s", code, errs)
	}
}

func TestPhoneWatch(t *testing.T) {
	for _, c := range []struct {
		name   string
		number string // of the prompt
		args   []string
		stdin  string
		code   int
		out    string
		is     []error // what Push returns
	}{
		{"approve", "", []string{"--approve"}, "", exitOK, " approved", []error{nil}},
		{"approve by polling", "", []string{"--approve", "--poll"}, "", exitOK, " approved", []error{nil}},
		{"deny", "", []string{"--deny"}, "", exitOK, " denied", []error{mfa.ErrRejected}},
		{"not me", "", []string{"--not-me"}, "", exitOK, " reported", []error{mfa.ErrRejected, mfa.ErrNotMe}},
		{"number", "42", []string{"--number", "42"}, "", exitOK, " approved", []error{nil}},
		{"wrong number", "42", []string{"--number", "24"}, "", exitRejected, "wrong number", []error{mfa.ErrRejected, mfa.ErrWrongNumber}},
		{"approve without the number", "42", []string{"--approve"}, "", exitRejected, "not approved: it needs the number", []error{context.Canceled}},
		{"number where none is due", "", []string{"--number", "42"}, "", exitRejected, "it takes no number", []error{context.Canceled}},
		{"deny a number", "42", []string{"--deny"}, "", exitOK, " denied", []error{mfa.ErrRejected}},
		{"typed yes", "", nil, "what\ny\n", exitOK, " approved", []error{nil}},
		{"typed no", "", nil, "n\n", exitOK, " denied", []error{mfa.ErrRejected}},
		{"typed a", "", nil, "A\n", exitOK, " approved", []error{nil}},
		{"typed d", "42", nil, "d\n", exitOK, " denied", []error{mfa.ErrRejected}},
		{"typed a where a number is due", "42", nil, "a\n42\n", exitOK, " approved", []error{nil}},
		{"typed number", "42", nil, "y\n\n42\n", exitOK, " approved", []error{nil}},
		{"typed not me", "42", nil, "m\n", exitOK, " reported", []error{mfa.ErrNotMe}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newPhoneRig(t)
			ctx, cancel := context.WithCancel(t.Context())
			done := r.push(ctx, "prompt-1", c.number)
			var out, errs syncBuffer
			// The lines come when the phone asks, and the input stays open.
			in, typed := io.Pipe()
			go func() {
				out.await(ctx, "was not you: ")
				_, _ = io.WriteString(typed, c.stdin)
			}()
			code := run(ctx, append([]string{"phone", "watch", "--once", "--state", r.state}, c.args...), in, &out, &errs)
			if code != c.code || !strings.Contains(out.String(), c.out) {
				t.Errorf("exit code %d, want %d; it says %s%s", code, c.code, out.String(), errs.String())
			}
			if text := out.String(); strings.ContainsAny(text, "\x1b\x07") || !strings.Contains(text, "claims to be") {
				t.Errorf("texts of the network are not made safe: %q", text)
			}
			cancel()
			err := <-done
			for _, want := range c.is {
				if !errors.Is(err, want) {
					t.Errorf("Push: %v, want %v", err, want)
				}
			}
		})
	}
}

func TestPhoneWithdrawn(t *testing.T) {
	r := newPhoneRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := r.push(ctx, "prompt-1", "")
	var out, errs syncBuffer
	in, _ := io.Pipe()
	go func() {
		out.await(t.Context(), "was not you: ")
		cancel()
	}()
	code := run(t.Context(), []string{"phone", "watch", "--once", "--state", r.state}, in, &out, &errs)
	if code != exitNoAnswer || !strings.Contains(out.String(), "request prompt-1 withdrawn: it is over") {
		t.Errorf("exit code %d: %s%s", code, out.String(), errs.String())
	}
	<-done
}

// TestPhoneTypedTooEarly: what is typed for one request does not answer the one
// that takes its place in the same moment.
func TestPhoneTypedTooEarly(t *testing.T) {
	r := newPhoneRig(t)
	p, err := loadPhone(r.state)
	if err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(w *watcher, first string) error{
		"withdrawn": func(w *watcher, first string) error { return w.withdrawn(device.Withdrawn{ID: first}) },
		"answered":  func(w *watcher, _ string) error { return w.answered(t.Context(), "n") },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		first, second := r.push(ctx, "1 "+name, ""), r.push(ctx, "2 "+name, "")
		var out syncBuffer
		w := &watcher{out: &out, phone: p}
		for len(w.waiting) < 2 {
			w.waiting = r.approver.Live(mfa.NameOf("alice"), device.MaxVersion).Prompts
		}
		slices.SortFunc(w.waiting, func(a, b device.PromptView) int { return strings.Compare(a.ID, b.ID) })
		if err := errors.Join(end(w, w.waiting[0].ID), w.answered(t.Context(), "y")); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(w.waiting) != 1 || !strings.Contains(out.String(), "too early") {
			t.Errorf("%s: the next request was answered: %s", name, out.String())
		}
		w.from = time.Now()
		if err := w.answered(t.Context(), "n"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		cancel()
		<-first
		if err := <-second; !errors.Is(err, mfa.ErrRejected) {
			t.Errorf("%s: the next request, denied a while later: got %v", name, err)
		}
	}
}

func TestPhoneEnds(t *testing.T) {
	r := newPhoneRig(t)
	if code, _, errs := phoneRun(t, "", "watch", "--state", r.state); code != exitUsage || !strings.Contains(errs, "cannot ask") {
		t.Errorf("no terminal: %d %s", code, errs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var out, errs syncBuffer
	go func() {
		out.await(ctx, "waiting for sign-ins")
		cancel()
	}()
	if code := run(ctx, []string{"phone", "watch", "--deny", "--state", r.state}, strings.NewReader(""), &out, &errs); code != exitOK {
		t.Errorf("interrupted: %d %s", code, errs.String())
	}
	p, err := loadPhone(r.state)
	if err != nil {
		t.Fatal(err)
	}
	r.store.Remove(p.Device)
	if code, _, errs := phoneRun(t, "", "watch", "--deny", "--state", r.state); code != exitFailure || !strings.Contains(errs, "removed") || !strings.Contains(errs, "--force") {
		t.Errorf("removed: %d %s", code, errs)
	}
}

// speaking puts a server in front of the rig's that speaks only these versions of the
// protocol.
func (r *phoneRig) speaking(t *testing.T, lowest, highest int) {
	to, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	behind := httputil.NewSingleHostReverseProxy(to)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		q.Body = io.NopCloser(bytes.NewReader(body))
		var said struct{ Version int }
		_ = json.Unmarshal(body, &said) // of an enrolment
		if auth, err := device.ParseRequestAuth(q.Header.Get("Authorization")); err == nil {
			said.Version = auth.Version
		}
		if said.Version >= lowest && said.Version <= highest {
			behind.ServeHTTP(w, q)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(device.ErrorBody{Code: "version_unsupported", Message: "Update the older of the two.", MinVersion: lowest, MaxVersion: highest})
	}))
	t.Cleanup(front.Close)
	r.url = front.URL
}

// TestPhoneVersions: a device that an older program enrolled speaks what this one
// speaks; with an older server it speaks that one's version; and where the two
// have none in common it says what to do.
func TestPhoneVersions(t *testing.T) {
	t.Parallel()
	const next = device.MaxVersion + 1
	for _, c := range []struct {
		name            string
		lowest, highest int // of the server
		number          string
		code            int
		says            string
		spoken          int // as the server has noted it; 0: the device has not got through
	}{
		{"the same", device.MinVersion, device.MaxVersion, "42", exitOK, " approved", device.MaxVersion},
		{"a newer server", device.MinVersion + 1, next, "42", exitOK, " approved", device.MaxVersion},
		{"an older server", device.MinVersion, device.VersionNumber, "42", exitOK, " approved", device.VersionNumber},
		{"one from before numbers", device.MinVersion, device.VersionApprove, "", exitOK, " approved", device.VersionApprove},
		{"one from before numbers, with a number", device.MinVersion, device.VersionApprove, "42", exitRejected, "not approved", device.VersionApprove},
		{"a server that is too new", next, next, "", exitFailure, "hint: install the server's version of radmatch", 0},
		{"a server that does not say", 0, 0, "", exitFailure, "Update the older of the two", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newPhoneRig(t)
			r.speaking(t, c.lowest, c.highest)
			var file map[string]any
			text, err := os.ReadFile(r.state)
			if err := errors.Join(err, json.Unmarshal(text, &file)); err != nil {
				t.Fatal(err)
			}
			enrolled := fmt.Sprint(file["device"])
			file["server"], file["version"] = r.url, device.VersionApprove // as the first program wrote it
			text, _ = json.Marshal(file)
			if err := os.WriteFile(r.state, text, 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := r.push(ctx, "prompt-1", c.number)
			args := []string{"watch", "--once", "--state", r.state, "--approve"}
			if c.number != "" {
				args = append(args[:len(args)-1], "--number", c.number)
			}
			code, out, errs := phoneRun(t, "", args...)
			if code != c.code || !strings.Contains(out+errs, c.says) {
				t.Errorf("exit code %d, want %d with %q; it says %s%s", code, c.code, c.says, out, errs)
			}
			cancel()
			if err := <-done; (err == nil) != (c.code == exitOK) {
				t.Errorf("Push: %v", err)
			}
			if d, _ := r.store.Device(t.Context(), enrolled); c.spoken != 0 && d.Version != c.spoken {
				t.Errorf("the server has noted version %d, want %d", d.Version, c.spoken)
			}
			code, _, errs = phoneRun(t, "", "enroll", r.invite("bob"), "--state", r.state+".bob")
			if want := c.code == exitFailure; (code == exitFailure) != want || want && !strings.Contains(errs, c.says) {
				t.Errorf("enrol: exit code %d: %s", code, errs)
			}
		})
	}
}

// syncBuffer is a buffer that another goroutine may wait on.
type syncBuffer struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{}
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// await returns when text was written, or ctx ends.
func (b *syncBuffer) await(ctx context.Context, text string) {
	for {
		b.mu.Lock()
		if strings.Contains(b.buf.String(), text) {
			b.mu.Unlock()
			return
		}
		if b.changed == nil {
			b.changed = make(chan struct{})
		}
		changed := b.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
