package password_test

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

// proxy stands before a directory without TLS and looks at each request.
type proxy struct {
	url string

	mu      sync.Mutex
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
	for {
		n, err := client.Read(buf) // a request is small and comes at once
		if err != nil {
			return
		}
		switch p.judge(buf[:n]) {
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

func (p *proxy) judge(request []byte) fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if isUserBind(request) {
		p.binds++
	}
	if p.verdict == nil {
		return pass
	}
	return p.verdict(request)
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
	open := func() *password.LDAP {
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
	isSearch := func(request []byte) bool { return bytes.Contains(request, []byte("departmentNumber")) }

	for name, which := range map[string]func([]byte) bool{"search": isSearch, "bind": isUserBind} {
		l := open()
		first.set(once(which, cut))
		if _, err := check(t, l, "alice", passwordtest.SlapdPassword); err != nil {
			t.Errorf("a %s whose connection breaks: %v", name, err)
		}
	}

	l := open()
	first.set(once(isSearch, drop))
	if _, err := check(t, l, "alice", passwordtest.SlapdPassword); err != nil || second.userBinds() != 1 {
		t.Errorf("a search that is not answered: %v, %d binds at the second server", err, second.userBinds())
	}

	l = open()
	first.set(once(isUserBind, drop))
	_, err := check(t, l, "alice", passwordtest.SlapdPassword)
	if err == nil || errors.Is(err, mfa.ErrRejected) || first.userBinds() != 1 || second.userBinds() != 0 {
		t.Errorf("a bind that is not answered: %v, %d and %d binds", err, first.userBinds(), second.userBinds())
	}
}
