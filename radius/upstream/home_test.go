package upstream

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"layeh.com/radius/rfc2759"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// home is a small RADIUS server on the loopback network: what a Primary asks.
type home struct {
	t      testing.TB
	start  sync.Once // with the first login, so that tests can set it up
	secret *wire.Secret
	addr   string
	conn   net.PacketConn

	mu     sync.Mutex
	users  map[string]string                          // name to password
	accept func(q *homeRequest, w *wire.Writer)       // adds to an Access-Accept
	answer func(q *homeRequest) [][]byte              // in place of all of it
	then   func(q *homeRequest, packet []byte) []byte // changes an answer
	asked  []homeRequest
	silent bool
}

// homeRequest is a request as the home server reads it.
type homeRequest struct {
	wire.Request
	user, pass, state string
	mschap            *mfa.MSCHAPv2
}

func newHome(t testing.TB) *home {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &home{t: t, secret: wire.NewSecret([]byte(testSecret)), addr: conn.LocalAddr().String(), conn: conn,
		users: map[string]string{"alice": "right horse"}}
	t.Cleanup(func() { conn.Close() })
	return h
}

func (h *home) serve(conn net.PacketConn) {
	buf := make([]byte, wire.MaxPacketSize)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		for _, p := range h.handle(bytes.Clone(buf[:n])) {
			conn.WriteTo(p, from)
		}
	}
}

func (h *home) handle(datagram []byte) [][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	var q homeRequest
	p := wire.Trim(datagram)
	if p == nil || q.Scan(p, 1000) != nil || q.MA != wire.MAOffset || !h.secret.Verify(p, q.MA) {
		h.t.Errorf("a request that is not signed as it must be: %x", datagram)
		return nil
	}
	q.user, q.state = string(q.Request.User), string(q.Request.State)
	if q.Password != nil {
		plain, _ := wire.DecryptPassword(nil, q.Password, q.Auth(), h.secret)
		q.pass = string(plain)
	}
	if c, ok := wire.ParseMSCHAPv2(q.MSChallenge, q.MS2Response); ok {
		q.mschap = &c
	}
	h.asked = append(h.asked, q)
	switch {
	case h.silent:
		return nil
	case h.answer != nil:
		return h.answer(&q)
	}
	return [][]byte{h.reply(&q, h.code(&q), func(w *wire.Writer) {
		if h.accept != nil && h.code(&q) == wire.AccessAccept {
			h.accept(&q, w)
		}
	})}
}

// code is whether the credential is right.
func (h *home) code(q *homeRequest) wire.Code {
	want, known := h.users[q.user]
	switch {
	case q.Code == wire.StatusServer:
		return wire.AccessAccept
	case !known:
		return wire.AccessReject
	case q.mschap != nil:
		nt, err := rfc2759.GenerateNTResponse(q.mschap.AuthChallenge[:], q.mschap.PeerChallenge[:], []byte(q.user), []byte(want))
		if err == nil && bytes.Equal(nt, q.mschap.NTResponse[:]) {
			return wire.AccessAccept
		}
		return wire.AccessReject
	case q.pass == want:
		return wire.AccessAccept
	}
	return wire.AccessReject
}

// reply is a signed answer with the Proxy-State that came, as RFC 2865 has it.
func (h *home) reply(q *homeRequest, code wire.Code, add func(*wire.Writer)) []byte {
	w := wire.NewWriter(nil, code, q.ID, q.Auth(), h.secret)
	if q.mschap != nil && code == wire.AccessAccept {
		utf16, _ := rfc2759.ToUTF16([]byte(h.users[q.user]))
		w.MSCHAPAccept(*q.mschap, &mfa.MSCHAPKeys{
			NTHashHash: [16]byte(rfc2759.NTPasswordHash(rfc2759.NTPasswordHash(utf16))), Name: q.user,
		})
	}
	if add != nil {
		add(&w)
	}
	for typ, v := range wire.Attributes(q.Raw) {
		if typ == wire.TypeProxyState {
			w.Attribute(typ, v)
		}
	}
	p, err := w.SealAnswer()
	if err != nil {
		h.t.Error(err)
	}
	if h.then != nil {
		p = h.then(q, p)
	}
	return p
}

func (h *home) requests() []homeRequest {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]homeRequest(nil), h.asked...)
}

// set changes the server while it serves.
func (h *home) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

// upstreamOf makes a Primary of these servers.
func upstreamOf(t testing.TB, change func(*Settings), homes ...*home) (*Primary, *observer.ObservedLogs) {
	t.Helper()
	s := &Settings{Timeout: 10 * time.Second, DeadAfter: 2, DeadTime: time.Hour, NASIdentifier: "radmatch"}
	for _, h := range homes {
		s.Servers = append(s.Servers, Server{Address: h.addr, Secret: testSecret})
	}
	if change != nil {
		change(s)
	}
	s.CheckSettings(func(key, rule, got string) { t.Errorf("%s: %s; got %q", key, rule, got) })
	core, logs := observer.New(zapcore.InfoLevel)
	u, err := New(s, wire.StandardDictionary(), zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	u.dial = func(ctx context.Context, address string) (net.Conn, error) {
		for _, h := range homes {
			h.start.Do(func() { go h.serve(h.conn) })
		}
		return dialUDP(ctx, address)
	}
	t.Cleanup(func() { u.Close() })
	return u, logs
}
