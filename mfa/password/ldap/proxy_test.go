package ldap_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/ldap"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

// proxy stands before a directory without TLS and looks at each request.
type proxy struct {
	url string

	mu      sync.Mutex
	conns   int               // that were taken
	mixed   int               // requests on a connection that is there for the other kind
	binds   int               // with the password of a user
	verdict func([]byte) fate // of each request
}

// fate is what becomes of a request.
type fate int

const (
	pass fate = iota
	cut       // the connection breaks
	drop      // nothing comes back
)

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &proxy{url: "ldap://" + l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.carry(c, strings.TrimPrefix(to, "ldap://"))
		}
	}()
	return p
}

func (p *proxy) carry(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		defer client.Close()
		buf := make([]byte, 65536)
		for {
			n, err := server.Read(buf)
			if err != nil {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 65536)
	p.mu.Lock()
	p.conns++
	p.mu.Unlock()
	var seen kinds
	for {
		n, err := client.Read(buf) // a request is small and comes at once
		if err != nil {
			return
		}
		switch p.judge(buf[:n], &seen) {
		case cut:
			return
		case drop:
			continue
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// kinds is what came over one connection.
type kinds struct{ searched, bound bool }

func (p *proxy) judge(request []byte, seen *kinds) fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if isUserBind(request) {
		p.binds++
		seen.bound = true
	}
	seen.searched = seen.searched || isSearch(request)
	if seen.searched && seen.bound {
		p.mixed++
	}
	if p.verdict == nil {
		return pass
	}
	return p.verdict(request)
}

// isSearch looks at the tag behind the length and the message id (RFC 4511 §4.2).
func isSearch(request []byte) bool {
	header := 2
	if len(request) > 1 && request[1] >= 0x80 {
		header += int(request[1] & 0x7f)
	}
	if len(request) < header+2 {
		return false
	}
	at := header + 2 + int(request[header+1])
	return at < len(request) && request[at] == 0x63
}

func isUserBind(request []byte) bool {
	return bytes.Contains(request, []byte(passwordtest.SlapdPassword))
}

// set changes what becomes of requests, and forgets the binds.
func (p *proxy) set(verdict func([]byte) fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.verdict, p.binds = verdict, 0
}

func (p *proxy) userBinds() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.binds
}

// TestLDAPBroken: a request whose connection breaks is sent again; a bind that a
// server keeps to itself is not sent to another one, a search is.
func TestLDAPBroken(t *testing.T) {
	s := startSlapd(t)
	first, second := startProxy(t, s.Plain), startProxy(t, s.Plain)
	open := func() *ldap.Primary {
		set := quick(s)
		set.URL, set.URLs, set.InsecurePlaintext = "", []string{first.url, second.url}, true
		set.DeadTime = time.Minute
		first.set(nil)
		second.set(nil)
		l := openLDAP(t, set)
		if _, err := check(t, l, "alice", passwordtest.SlapdPassword); err != nil {
			t.Fatal(err)
		}
		first.set(nil)
		return l
	}
	once := func(which func([]byte) bool, f fate) func([]byte) fate {
		done := false
		return func(request []byte) fate {
			if done || !which(request) {
				return pass
			}
			done = true
			return f
		}
	}
	isUserSearch := func(request []byte) bool { return bytes.Contains(request, []byte("departmentNumber")) }

	for name, which := range map[string]func([]byte) bool{"search": isUserSearch, "bind": isUserBind} {
		l := open()
		first.set(once(which, cut))
		if _, err := check(t, l, "alice", passwordtest.SlapdPassword); err != nil {
			t.Errorf("a %s whose connection breaks: got error %v; want none", name, err)
		}
	}

	l := open()
	first.set(once(isUserSearch, drop))
	if _, err := check(t, l, "alice", passwordtest.SlapdPassword); err != nil || second.userBinds() != 1 {
		t.Errorf("a search that is not answered: %v, %d binds at the second server; want no error, userBinds 1", err, second.userBinds())
	}

	l = open()
	first.set(once(isUserBind, drop))
	_, err := check(t, l, "alice", passwordtest.SlapdPassword)
	if err == nil || errors.Is(err, mfa.ErrRejected) || first.userBinds() != 1 || second.userBinds() != 0 {
		t.Errorf("a bind that is not answered: %v, %d and %d binds; want another error than mfa.ErrRejected, userBinds 1, userBinds 0", err, first.userBinds(), second.userBinds())
	}
}

// TestLDAPConnections: there are never more connections than allowed, they are
// used again, and what a user was bound on is never searched with.
func TestLDAPConnections(t *testing.T) {
	s := startSlapd(t)
	p := startProxy(t, s.Plain)
	set := settings(s)
	set.URL, set.InsecurePlaintext, set.Waiting = p.url, true, 1000
	l := openLDAP(t, set)
	signIn := func(n int) {
		pass := passwordtest.SlapdPassword
		if n%3 == 0 {
			pass = fmt.Sprintf("%s %d", passwordtest.SlapdPassword, n) // wrong
		}
		if _, err := check(t, l, []string{"alice", "bob", "nobody"}[n%3], pass); err != nil && !errors.Is(err, mfa.ErrRejected) {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	for n := range 200 {
		wg.Go(func() { signIn(n) })
	}
	wg.Wait()
	for n := range 30 {
		signIn(n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns > 2*set.Connections || p.conns < 2 || p.mixed > 0 || p.binds == 0 {
		t.Errorf("%d connections for %d of each kind, %d requests on one of the other kind, %d binds", p.conns, set.Connections, p.mixed, p.binds)
	}
}

// TestLDAPRefusedAccount: a server that does not take the password of bind_dn is
// not asked again with each login, nor each second as one that is down: that could
// lock the account.
func TestLDAPRefusedAccount(t *testing.T) {
	s := startSlapd(t)
	p := startProxy(t, s.Plain)
	set := quick(s)
	set.URL, set.InsecurePlaintext, set.BindPassword, set.DeadTime = p.url, true, "not the reader's", time.Minute
	l := openLDAP(t, set)
	binds := 0
	p.set(func(request []byte) fate {
		if bytes.Contains(request, []byte("not the reader's")) {
			binds++
		}
		return pass
	})
	for range 3 {
		for range 5 {
			_, err := check(t, l, "alice", passwordtest.SlapdPassword)
			noAnswer(t, "bind_dn is refused", err)
		}
		time.Sleep(500 * time.Millisecond) // a server that is down would be tried again
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if binds != 1 {
		t.Errorf("%d binds with a wrong password, want 1", binds)
	}
}

// TestLDAPHungAccount: a server that hung over the bind of bind_dn, or broke the
// connection then, has refused no password: it is in use again within seconds of
// its return, also where it is the only one.
func TestLDAPHungAccount(t *testing.T) {
	s := startSlapd(t)
	for name, what := range map[string]fate{"hung": drop, "broken": cut} {
		p := startProxy(t, s.Plain)
		set := quick(s)
		set.URL, set.InsecurePlaintext, set.DeadTime = p.url, true, time.Minute
		l := openLDAP(t, set)
		p.set(func(request []byte) fate {
			if bytes.Contains(request, []byte("reader secret")) {
				return what
			}
			return pass
		})
		_, err := check(t, l, "alice", passwordtest.SlapdPassword)
		noAnswer(t, name, err)
		p.set(nil)
		until(t, name+": the server is used again", func() bool {
			_, err := check(t, l, "alice", passwordtest.SlapdPassword)
			return err == nil
		})
	}
}
