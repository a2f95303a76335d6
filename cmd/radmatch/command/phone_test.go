package command

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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
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
	if code != console.ExitOK || !strings.Contains(out, `device "pixel" of alice`) {
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
	code = Run(t.Context(), append([]string{"phone"}, args...), strings.NewReader(stdin), &o, &e)
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
		t.Errorf("state file: got %v %v; want no error, mode 0o600", info, err)
	}
	if info, err := os.Stat(filepath.Dir(r.state)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its directory: got %v %v; want no error, mode 0o700", info, err)
	}
	before, _ := os.ReadFile(r.state)
	link := r.invite("alice")
	if code, _, errs := phoneRun(t, "", "enroll", link, "--state", r.state); code != console.ExitFailure || !strings.Contains(errs, "--force") {
		t.Errorf("again: got %d %s; want console.ExitFailure, \"--force\" in it", code, errs)
	}
	if now, _ := os.ReadFile(r.state); !bytes.Equal(now, before) {
		t.Error("got another key in the state file after a failed enrolment; want the old one")
	}
	if code, _, errs := phoneRun(t, "", "enroll", link, "--state", r.state, "--force"); code != console.ExitOK {
		t.Errorf("with --force: got %d %s; want console.ExitOK", code, errs)
	}
	token := link[strings.Index(link, "#")+1:]
	other := filepath.Join(filepath.Dir(r.state), "other.json")
	code, out, errs := phoneRun(t, "", "enroll", link, "--state", other)
	if code != console.ExitFailure || !strings.Contains(errs, "invitation") || strings.Contains(out+errs, token) {
		t.Errorf("used link: %d %s", code, errs)
	}
	if files, _ := os.ReadDir(filepath.Dir(r.state)); len(files) != 1 {
		t.Errorf("left behind: got %v; want 1 of them", files)
	}
	for _, args := range [][]string{{"enroll"}, {"enroll", "nonsense"}, {"enroll", r.url + "/enroll"}, {"watch", "now"},
		{"watch", "--approve", "--deny"}, {"watch", "--number", ""}, {"watch", "--number", "4x"}, {"watch", "--never"}} {
		if code, _, errs := phoneRun(t, "", args...); code != console.ExitUsage || !strings.Contains(errs, "hint: ") {
			t.Errorf("%v: got %d %s; want console.ExitUsage, \"hint: \" in it", args, code, errs)
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
	if code, errs := watch(); code != console.ExitFailure || !strings.Contains(errs, "chmod 600") {
		t.Errorf("readable by others: got %d %s; want console.ExitFailure, \"chmod 600\" in it", code, errs)
	}
	for _, text := range []string{"", "{}", `{"format":1,"key":"AAAA"}`, `{"format":2}`} {
		if err := os.Remove(r.state); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(r.state, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, errs := watch(); code != console.ExitFailure || !strings.Contains(errs, "phone enroll") {
			t.Errorf("%q: got %d %s; want console.ExitFailure, \"phone enroll\" in it", text, code, errs)
		}
	}
	_ = os.Remove(r.state)
	if code, errs := watch(); code != console.ExitFailure || !strings.Contains(errs, "not enrolled") {
		t.Errorf("not there: got %d %s; want console.ExitFailure, \"not enrolled\" in it", code, errs)
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
		{"approve", "", []string{"--approve"}, "", console.ExitOK, " approved", []error{nil}},
		{"approve by polling", "", []string{"--approve", "--poll"}, "", console.ExitOK, " approved", []error{nil}},
		{"deny", "", []string{"--deny"}, "", console.ExitOK, " denied", []error{mfa.ErrRejected}},
		{"not me", "", []string{"--not-me"}, "", console.ExitOK, " reported", []error{mfa.ErrRejected, mfa.ErrNotMe}},
		{"number", "42", []string{"--number", "42"}, "", console.ExitOK, " approved", []error{nil}},
		{"wrong number", "42", []string{"--number", "24"}, "", console.ExitRejected, "wrong number", []error{mfa.ErrRejected, mfa.ErrWrongNumber}},
		{"approve without the number", "42", []string{"--approve"}, "", console.ExitRejected, "not approved: it needs the number", []error{context.Canceled}},
		{"number where none is due", "", []string{"--number", "42"}, "", console.ExitRejected, "it takes no number", []error{context.Canceled}},
		{"deny a number", "42", []string{"--deny"}, "", console.ExitOK, " denied", []error{mfa.ErrRejected}},
		{"typed yes", "", nil, "what\ny\n", console.ExitOK, " approved", []error{nil}},
		{"typed no", "", nil, "n\n", console.ExitOK, " denied", []error{mfa.ErrRejected}},
		{"typed a", "", nil, "A\n", console.ExitOK, " approved", []error{nil}},
		{"typed d", "42", nil, "d\n", console.ExitOK, " denied", []error{mfa.ErrRejected}},
		{"typed a where a number is due", "42", nil, "a\n42\n", console.ExitOK, " approved", []error{nil}},
		{"typed number", "42", nil, "y\n\n42\n", console.ExitOK, " approved", []error{nil}},
		{"typed not me", "42", nil, "m\n", console.ExitOK, " reported", []error{mfa.ErrNotMe}},
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
			code := Run(ctx, append([]string{"phone", "watch", "--once", "--state", r.state}, c.args...), in, &out, &errs)
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
	code := Run(t.Context(), []string{"phone", "watch", "--once", "--state", r.state}, in, &out, &errs)
	if code != console.ExitNoAnswer || !strings.Contains(out.String(), "request prompt-1 withdrawn: it is over") {
		t.Errorf("exit code %d: got %s%s; want console.ExitNoAnswer, \"request prompt-1 withdrawn: it is over\" in it", code, out.String(), errs.String())
	}
	<-done
}

func TestPhoneEnds(t *testing.T) {
	r := newPhoneRig(t)
	if code, _, errs := phoneRun(t, "", "watch", "--state", r.state); code != console.ExitUsage || !strings.Contains(errs, "cannot ask") {
		t.Errorf("no terminal: got %d %s; want console.ExitUsage, \"cannot ask\" in it", code, errs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var out, errs syncBuffer
	go func() {
		out.await(ctx, "waiting for sign-ins")
		cancel()
	}()
	if code := Run(ctx, []string{"phone", "watch", "--deny", "--state", r.state}, strings.NewReader(""), &out, &errs); code != console.ExitOK {
		t.Errorf("interrupted: got %d %s; want console.ExitOK", code, errs.String())
	}
	text, err := os.ReadFile(r.state)
	if err != nil {
		t.Fatal(err)
	}
	var state struct{ Device string }
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	r.store.Remove(state.Device)
	if code, _, errs := phoneRun(t, "", "watch", "--deny", "--state", r.state); code != console.ExitFailure || !strings.Contains(errs, "removed") || !strings.Contains(errs, "--force") {
		t.Errorf("removed: got %d %s; want console.ExitFailure, \"removed\" in it, \"--force\" in it", code, errs)
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
		{"the same", device.MinVersion, device.MaxVersion, "42", console.ExitOK, " approved", device.MaxVersion},
		{"a newer server", device.MinVersion + 1, next, "42", console.ExitOK, " approved", device.MaxVersion},
		{"an older server", device.MinVersion, device.VersionNumber, "42", console.ExitOK, " approved", device.VersionNumber},
		{"one from before numbers", device.MinVersion, device.VersionApprove, "", console.ExitOK, " approved", device.VersionApprove},
		{"one from before numbers, with a number", device.MinVersion, device.VersionApprove, "42", console.ExitRejected, "not approved", device.VersionApprove},
		{"a server that is too new", next, next, "", console.ExitFailure, "hint: install the server's version of radmatch", 0},
		{"a server that does not say", 0, 0, "", console.ExitFailure, "Update the older of the two", 0},
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
			if err := <-done; (err == nil) != (c.code == console.ExitOK) {
				t.Errorf("Push: %v", err)
			}
			if d, _ := r.store.Device(t.Context(), enrolled); c.spoken != 0 && d.Version != c.spoken {
				t.Errorf("the server has noted version %d, want %d", d.Version, c.spoken)
			}
			code, _, errs = phoneRun(t, "", "enroll", r.invite("bob"), "--state", r.state+".bob")
			if want := c.code == console.ExitFailure; (code == console.ExitFailure) != want || want && !strings.Contains(errs, c.says) {
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
