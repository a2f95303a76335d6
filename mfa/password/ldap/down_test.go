package ldap_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/ldap"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

// quick are settings with which a server is soon given up.
func quick(s *passwordtest.Slapd) ldap.Settings {
	set := settings(s)
	set.ConnectTimeout, set.Timeout, set.DeadTime = 500*time.Millisecond, 500*time.Millisecond, time.Second
	set.Reply = []ldap.Reply{{Attribute: "Filter-Id", From: "departmentNumber"}}
	return set
}

// noAnswer demands that a check ended without a decision.
func noAnswer(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || errors.Is(err, mfa.ErrRejected) || errors.Is(err, mfa.ErrUnsupported) {
		t.Errorf("%s: got %v, want that no answer was had", what, err)
	}
}

// TestLDAPFailover: the second server while the first is away, and the first
// again when it is back.
func TestLDAPFailover(t *testing.T) {
	first, second := startSlapd(t), startSlapd(t)
	err := second.Add("dn: uid=alice,ou=users,dc=example,dc=org\nchangetype: modify\nreplace: departmentNumber\ndepartmentNumber: second\n")
	if err != nil {
		t.Fatal(err)
	}
	both := t.TempDir() + "/both.pem"
	concat(t, both, first.CA, second.CA)
	set := quick(first)
	set.URL, set.URLs, set.CAFile = "", []string{first.TLS, second.TLS}, both
	l := openLDAP(t, set)
	uses := func() string {
		id, err := check(t, l, "alice", passwordtest.SlapdPassword)
		if err != nil {
			t.Fatal(err)
		}
		return string(id.Attributes[0].Value)
	}
	for round := range 2 {
		for range 3 {
			if got := uses(); got != "sales" {
				t.Fatalf("round %d: served by: got %s; want \"sales\"", round, got)
			}
		}
		if round == 0 {
			first.Kill()
		} else if err := first.Hang(); err != nil {
			t.Fatal(err)
		}
		// A bind that the server hangs over is not sent to another one: it may
		// count there. Everything else goes on at once.
		until(t, "the second server is used", func() bool {
			id, err := check(t, l, "alice", passwordtest.SlapdPassword)
			return err == nil && string(id.Attributes[0].Value) == "second"
		})
		for range 3 {
			if got := uses(); got != "second" {
				t.Fatalf("round %d: served by: got %s; want \"second\"", round, got)
			}
		}
		if round == 0 {
			err = first.Start()
		} else {
			err = first.Resume()
		}
		if err != nil {
			t.Fatal(err)
		}
		until(t, "the first server is returned to", func() bool { return uses() == "sales" })
	}
	first.Kill()
	second.Kill()
	_, err = check(t, l, "alice", passwordtest.SlapdPassword)
	noAnswer(t, "both away", err)
}

// TestLDAPKilled: a server that is killed costs no login where there is another,
// also with connections in the pool.
func TestLDAPKilled(t *testing.T) {
	first, second := startSlapd(t), startSlapd(t)
	both := t.TempDir() + "/both.pem"
	concat(t, both, first.CA, second.CA)
	set := quick(first)
	set.URL, set.URLs, set.CAFile = "", []string{first.TLS, second.TLS}, both
	l := openLDAP(t, set)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { check(t, l, "alice", passwordtest.SlapdPassword) })
	}
	wg.Wait()
	first.Kill()
	for range 8 {
		if _, err := check(t, l, "alice", passwordtest.SlapdPassword); err != nil {
			t.Error(err)
		}
	}
}

// TestLDAPHurried: a NAS that waits less than the timeout does not keep a
// server that hangs in use.
func TestLDAPHurried(t *testing.T) {
	first, second := startSlapd(t), startSlapd(t)
	both := t.TempDir() + "/both.pem"
	concat(t, both, first.CA, second.CA)
	set := quick(first)
	set.URL, set.URLs, set.CAFile = "", []string{first.TLS, second.TLS}, both
	set.Timeout, set.DeadTime = time.Second, time.Minute
	l := openLDAP(t, set)
	var wg sync.WaitGroup
	for range 4 { // fill the pool
		wg.Go(func() { l.Find(t.Context(), mfa.NameOf("alice")) })
	}
	wg.Wait()
	if err := first.Hang(); err != nil {
		t.Fatal(err)
	}
	hurried := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		_, err := l.Find(ctx, mfa.NameOf("alice"))
		return err
	}
	noAnswer(t, "the first one", hurried())
	if err := hurried(); err != nil {
		t.Errorf("the next one: got error %v; want none", err)
	}
}

func concat(t *testing.T, to string, from ...string) {
	t.Helper()
	var all []byte
	for _, f := range from {
		all = append(all, mustRead(t, f)...)
	}
	mustWrite(t, to, all)
}

// TestLDAPHung: a server that takes connections and says nothing, from the start
// or from some moment on.
func TestLDAPHung(t *testing.T) {
	s := startSlapd(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, scheme := range []string{"ldap", "ldaps"} {
		set := quick(s)
		set.URL = scheme + "://" + silent.Addr().String()
		begun := time.Now()
		_, err := check(t, openLDAP(t, set), "alice", passwordtest.SlapdPassword)
		noAnswer(t, scheme, err)
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("%s: given up after %v; want at most 3*time.Second", scheme, took)
		}
	}

	before := runtime.NumGoroutine()
	set := quick(s)
	l := openLDAP(t, set)
	if _, err := check(t, l, "alice", passwordtest.SlapdPassword); err != nil {
		t.Fatal(err)
	}
	if err := s.Hang(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	var wg sync.WaitGroup
	for range 100 { // some get a connection, some wait, some are too many
		wg.Go(func() {
			_, err := check(t, l, "alice", "right horse ")
			noAnswer(t, "while it hangs", err)
		})
	}
	for range 100 {
		wg.Go(func() {
			_, err := l.Find(t.Context(), mfa.NameOf("alice"))
			noAnswer(t, "while it hangs", err)
		})
	}
	wg.Wait()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("200 checks were given up after %v; want at most 5*time.Second", took)
	}
	canceled, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = l.Find(canceled, mfa.NameOf("alice"))
	noAnswer(t, "who has little time", err)
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	until(t, "it answers again", func() bool {
		_, err := check(t, l, "alice", passwordtest.SlapdPassword)
		return err == nil
	})
	l.Close()
	until(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}

// TestLDAPClose: a check that comes after Close is served and leaves nothing.
func TestLDAPClose(t *testing.T) {
	s := startSlapd(t)
	before := runtime.NumGoroutine()
	l := openLDAP(t, settings(s))
	for range 2 {
		if _, err := check(t, l, "alice", passwordtest.SlapdPassword); err != nil {
			t.Error(err)
		}
		l.Close()
		until(t, "no connection is left", func() bool { return runtime.NumGoroutine() <= before })
	}
}

// TestLDAPBusy: more checks than may wait get no answer at once.
func TestLDAPBusy(t *testing.T) {
	s := startSlapd(t)
	set := quick(s)
	set.Connections, set.Waiting, set.Timeout = 1, 1, 2*time.Second
	l := openLDAP(t, set)
	if _, err := l.Find(t.Context(), mfa.NameOf("alice")); err != nil {
		t.Fatal(err)
	}
	if err := s.Hang(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	busy := make(chan error, 10)
	for range cap(busy) {
		go func() {
			_, err := l.Find(ctx, mfa.NameOf("alice"))
			busy <- err
		}()
	}
	for range cap(busy) - 2 {
		if err := <-busy; !errors.Is(err, password.ErrBusy) {
			t.Errorf("got %v, want ErrBusy", err)
		}
	}
	cancel()
	for range 2 {
		noAnswer(t, "given up", <-busy)
	}
}

// TestLDAPConnect: each step that can fail is told, with what to do.
func TestLDAPConnect(t *testing.T) {
	s := startSlapd(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	expired := t.TempDir() + "/ca.pem"
	old := expiredServer(t, expired)
	local := func(u string) string { return strings.Replace(u, "127.0.0.1", "localhost", 1) }
	port := func(u string) string { p, _ := url.Parse(u); return p.Port() }
	for _, c := range []struct {
		what   string
		change func(*ldap.Settings)
		step   string // empty: it works
		hint   string // a part of it
	}{
		{"right", func(*ldap.Settings) {}, "", ""},
		{"right, by name", func(c *ldap.Settings) { c.URL = local(s.TLS) }, "", ""},
		{"right, StartTLS", func(c *ldap.Settings) { c.URL = s.Plain }, "", ""},
		{"dns", func(c *ldap.Settings) { c.URL = "ldaps://dc1.example.invalid" }, "dns", "cannot be resolved"},
		{"nothing listens", func(c *ldap.Settings) { c.URL = "ldaps://" + closed.Addr().String() }, "connect", "nothing listens"},
		{"silence", func(c *ldap.Settings) {
			c.URL, c.ConnectTimeout = "ldaps://"+silent.Addr().String(), 500*time.Millisecond
		}, "tls", "does not answer"},
		{"silence, StartTLS", func(c *ldap.Settings) {
			c.URL, c.ConnectTimeout = "ldap://"+silent.Addr().String(), 500*time.Millisecond
		}, "tls", "does not answer"},
		{"other authority", func(c *ldap.Settings) { c.CAFile = s.Other }, "tls", "ca_file"},
		{"other authority, StartTLS", func(c *ldap.Settings) { c.URL, c.CAFile = s.Plain, s.Other }, "tls", "ca_file"},
		{"the system's authorities", func(c *ldap.Settings) { c.CAFile = "" }, "tls", "ca_file"},
		{"other name", func(c *ldap.Settings) { c.ServerName = "dc1.example.org" }, "tls", "not for \"dc1.example.org\""},
		{"other name, StartTLS", func(c *ldap.Settings) { c.URL, c.ServerName = s.Plain, "dc1.example.org" }, "tls", "server_name"},
		{"expired", func(c *ldap.Settings) { c.URL, c.CAFile = old, expired }, "tls", "has expired"},
		{"no TLS there", func(c *ldap.Settings) { c.URL = "ldaps://127.0.0.1:" + port(s.Plain) }, "tls", ""},
		{"wrong bind_password", func(c *ldap.Settings) { c.BindPassword = "wrong" }, "bind", "bind_dn or its password"},
		{"wrong bind_dn", func(c *ldap.Settings) { c.BindDN = "cn=nobody,dc=example,dc=org" }, "bind", "bind_dn or its password"},
		{"wrong base_dn", func(c *ldap.Settings) { c.BaseDN = "dc=example,dc=com" }, "search", "base_dn"},
		{"no right", func(c *ldap.Settings) { c.BaseDN = "ou=hidden," + passwordtest.SlapdBase }, "search", "may not see it"},
		{"wrong group_base_dn", func(c *ldap.Settings) { c.GroupBaseDN = "ou=gruops," + passwordtest.SlapdBase }, "search", "group_base_dn"},
		{"nobody", func(c *ldap.Settings) { c.LoginAttribute = "employeeNumber" }, "search", "names no user"},
		{"anonymous", func(c *ldap.Settings) { c.BindDN, c.BindPassword = "", "" }, "search", "bind_dn is not set"},
	} {
		set := settings(s)
		set.ConnectTimeout = 10 * time.Second // the system's authorities take their time to load
		c.change(&set)
		err := openLDAP(t, set).Connect(t.Context())
		failed := (*mfa.ConnectError)(nil)
		errors.As(err, &failed)
		switch {
		case c.step == "" && err != nil:
			t.Errorf("%s: %v", c.what, err)
		case c.step != "" && (failed == nil || failed.Step != c.step || !strings.Contains(failed.Hint, c.hint) || failed.Hint == ""):
			t.Errorf("%s: got %+v, want step %s with a hint that has %q", c.what, failed, c.step, c.hint)
		}
		if c.step != "" && (strings.Contains(err.Error(), "reader secret") || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: the error is %q", c.what, err)
		}
	}
	set := settings(s)
	set.URL, set.URLs, set.CAFile = "", []string{"ldaps://" + closed.Addr().String(), s.TLS}, s.Other
	several, ok := openLDAP(t, set).Connect(t.Context()).(interface{ Unwrap() []error })
	if !ok || len(several.Unwrap()) != 2 {
		t.Errorf("two servers that fail: got %v", several)
	}
}

// expiredServer is a TLS server whose certificate is of yesterday.
func expiredServer(t *testing.T, ca string) (url string) {
	t.Helper()
	authority, err := passwordtest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, ca, authority.PEM)
	pair, err := authority.KeyPair(time.Now().Add(-time.Hour), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.(*tls.Conn).Handshake()
			c.Close()
		}
	}()
	return "ldaps://" + l.Addr().String()
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func mustWrite(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
