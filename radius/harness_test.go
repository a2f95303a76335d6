package radius

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/wire"
)

const testSecret = "xyzzy5461" // of the RFCs' examples

var nas = netip.MustParseAddrPort("192.0.2.7:4000")

// fakeAuth hands the test what the server hands over.
type fakeAuth struct {
	mu    sync.Mutex
	calls []call
	then  func(r *mfa.Request, reply func(mfa.Decision)) // nil: wait for the test
}

type call struct {
	*mfa.Request
	reply func(mfa.Decision)
}

func (f *fakeAuth) Authenticate(_ context.Context, r *mfa.Request, reply func(mfa.Decision)) {
	f.mu.Lock()
	f.calls = append(f.calls, call{r, reply})
	then := f.then
	f.mu.Unlock()
	if then != nil {
		then(r, reply)
	}
}

func (f *fakeAuth) seen() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]call(nil), f.calls...)
}

// fakeSocket keeps what is sent.
type fakeSocket struct {
	mu   sync.Mutex
	sent [][]byte
}

func (f *fakeSocket) Send(b []byte, _ Peer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, append([]byte(nil), b...))
	return nil
}

func (f *fakeSocket) packets() [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([][]byte(nil), f.sent...)
}

// fakeLatches is a Latches in memory.
type fakeLatches struct {
	mu sync.Mutex
	m  map[string]bool
}

func (f *fakeLatches) Latched(client string, source netip.Addr) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.m[client+" "+source.String()]
}

func (f *fakeLatches) Latch(client string, source netip.Addr, _ time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.m == nil {
		f.m = make(map[string]bool)
	}
	f.m[client+" "+source.String()] = true
}

// rig is a server without sockets.
type rig struct {
	*Server
	t       testing.TB
	auth    *fakeAuth
	socket  *fakeSocket
	latches *fakeLatches
	logs    *observer.ObservedLogs
	secret  *wire.Secret
	client  Client
}

// newRig makes a server with one client, which change may alter.
func newRig(t testing.TB, change func(*Client)) *rig {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	kind, err := profile.Lookup("generic")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		t: t, auth: &fakeAuth{}, socket: &fakeSocket{}, latches: &fakeLatches{}, logs: logs,
		secret: wire.NewSecret([]byte(testSecret)),
		client: Client{
			Name: "vpn", Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
			Secrets: [][]byte{[]byte(testSecret)}, Profile: kind, Policy: &mfa.Client{Name: "vpn"},
		},
	}
	if change != nil {
		change(&r.client)
	}
	r.Server = &Server{Logger: zap.New(core), Latches: r.latches}
	r.swap()
	t.Cleanup(r.cancel) // idle workers end
	return r
}

func (r *rig) swap() {
	r.t.Helper()
	table, err := NewTable([]Client{r.client})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Swap(Service{Table: table, Authenticator: r.auth})
}

// arrive delivers a datagram from nas.
func (r *rig) arrive(datagram []byte) { r.arriveFrom(nas, datagram) }

func (r *rig) arriveFrom(from netip.AddrPort, datagram []byte) {
	r.Receive(&Arrival{Sender: r.socket, Peer: Peer{Source: from}, Packet: datagram})
}

// ask is a signed Access-Request; n makes its authenticator.
func (r *rig) ask(id, n byte, change func(*wire.Query)) []byte {
	r.t.Helper()
	q := &wire.Query{Code: wire.AccessRequest, User: "nemo", Cred: mfa.Password("arctangent")}
	if change != nil {
		change(q)
	}
	p, err := q.Append(nil, id, authOf(n), r.secret)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func authOf(n byte) *[16]byte { return &[16]byte{n, 1, 2, 3} }

// answer verifies the i-th packet sent as an answer to the request (id, n).
func (r *rig) answer(i int, id, n byte) wire.Answer {
	r.t.Helper()
	sent := r.socket.packets()
	if i >= len(sent) {
		r.t.Fatalf("%d packets were sent, want more than %d", len(sent), i)
	}
	p := append([]byte(nil), sent[i]...)
	if p[wire.HeaderSize] != wire.TypeMessageAuthenticator {
		r.t.Errorf("the first attribute of the answer is %d, want Message-Authenticator", p[wire.HeaderSize])
	}
	a, err := wire.ParseAnswer(p, id, authOf(n), r.secret)
	if err != nil {
		r.t.Fatalf("answer %d: got error %v; want none", i, err)
	}
	return a
}

// stats returns the counters of the client.
func (r *rig) stats() ClientStats { return r.Stats().Clients[0] }

// raw builds a packet of attributes that the client would not; without a
// Message-Authenticator among them it is unsigned.
func raw(code wire.Code, id, n byte, attributes ...[]byte) []byte {
	p := append([]byte{byte(code), id, 0, 0}, authOf(n)[:]...)
	at := 0
	for _, a := range attributes {
		if a[0] == wire.TypeMessageAuthenticator && at == 0 {
			at = len(p) + 2
		}
		p = append(p, a...)
	}
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	if at > 0 {
		sum := wire.NewSecret([]byte(testSecret)).Sign(p, at)
		copy(p[at:], sum[:])
	}
	return p
}

func avp(typ byte, value string) []byte {
	return append([]byte{typ, byte(2 + len(value))}, value...)
}

func emptyMA() []byte { return avp(wire.TypeMessageAuthenticator, string(make([]byte, md5.Size))) }

// papOf is a User-Password for the authenticator n.
func papOf(password string, n byte, secret string) []byte {
	q := wire.Query{Code: wire.AccessRequest, Cred: mfa.Password(password)}
	p, err := q.Append(nil, 0, authOf(n), wire.NewSecret([]byte(secret)))
	if err != nil {
		panic(err)
	}
	return p[wire.MAOffset+md5.Size:]
}

func zapReason(why discard) zap.Field { return zap.Stringer("reason", why) }

type authFunc func(r *mfa.Request, reply func(mfa.Decision))

func (f authFunc) Authenticate(_ context.Context, r *mfa.Request, reply func(mfa.Decision)) {
	f(r, reply)
}

type discardSocket struct{}

func (discardSocket) Send([]byte, Peer) error { return nil }

type panicSocket struct{}

func (panicSocket) Send([]byte, Peer) error { panic("a bug") }
