package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/caller"
	"github.com/radmatch/radmatch/radius/wire"
)

// Primary is a primary that asks other RADIUS servers, in their order, one at a
// time. Its methods may be called concurrently. What the NAS said of a login
// comes as its carrier: see [Forwarded].
//
// It starts nothing before the first login. Close ends the probes of dead
// servers; logins that still have it then go on.
type Primary struct {
	// Taken, if it is set before the first Check, tells which names belong to users
	// of another primary: no user gets in here under such a name.
	Taken func(name mfa.Name) bool

	servers       []*server
	timeout       time.Duration
	deadAfter     int
	deadTime      time.Duration
	probeEvery    time.Duration
	nasIdentifier []byte // encoded
	names         nameSpace
	groups        wire.AttributeType // the zero value: none
	dictionary    *wire.Dictionary
	log           *zap.Logger
	dial          func(ctx context.Context, address string) (net.Conn, error)
	life          context.Context
	end           context.CancelFunc
	closed        atomic.Bool
}

var (
	_ mfa.PrimaryContinuer = (*Primary)(nil)
	_ mfa.Forwarder        = (*Primary)(nil)
	_ mfa.Namer            = (*Primary)(nil)
)

// probeEvery is the shortest that RFC 3539 §3.4.1 allows between two watchdogs.
const probeEvery = 6 * time.Second

// idleLink is how long a socket stays open unused.
const idleLink = 30 * time.Second

// New makes a primary of settings that have passed CheckSettings, each
// server with its Secret. The dictionary says which attributes of an answer are
// encrypted. A nil log is none.
func New(s *Settings, d *wire.Dictionary, log *zap.Logger) (*Primary, error) {
	groups, err := groupsAttribute(d, s.GroupsAttribute)
	if err != nil {
		return nil, fmt.Errorf("groups_attribute: %w; got %q", err, s.GroupsAttribute)
	}
	u := &Primary{
		timeout: s.Timeout, deadAfter: s.DeadAfter, deadTime: s.DeadTime, probeEvery: probeEvery,
		nasIdentifier: wire.AppendAttribute(nil, wire.TypeNASIdentifier, []byte(s.NASIdentifier)),
		names:         newNameSpace(s), groups: groups, dictionary: d, log: log, dial: dialUDP,
	}
	if u.log == nil {
		u.log = zap.NewNop()
	}
	u.life, u.end = context.WithCancel(context.Background())
	for i := range s.Servers {
		address, err := s.Servers[i].dialAddress()
		if err != nil {
			return nil, fmt.Errorf("servers[%d].address: %w", i, err)
		}
		if err := checkSecret(string(s.Servers[i].Secret)); err != nil {
			return nil, fmt.Errorf("servers[%d].secret: %w", i, err)
		}
		u.servers = append(u.servers, &server{
			Primary: u, address: address, host: caller.Host{Addr: address}, secret: wire.NewSecret([]byte(s.Servers[i].Secret)), opening: make(chan struct{}, 1),
		})
	}
	return u, nil
}

// Close ends what works in the background. It does not wait.
func (u *Primary) Close() error {
	u.closed.Store(true)
	u.end()
	for _, s := range u.servers {
		s.close()
	}
	return nil
}

// The texts tell the log what the answer to the user does not.
var (
	errUpstreamReject     = fmt.Errorf("rejected by the upstream: %w", mfa.ErrRejected)
	errUpstreamForm       = fmt.Errorf("a name or password that no server is asked with: %w", mfa.ErrRejected)
	errUpstreamCredential = fmt.Errorf("only PAP and MS-CHAPv2 are forwarded: %w", mfa.ErrUnsupported)
)

// Check implements mfa.PasswordChecker.
func (u *Primary) Check(ctx context.Context, user mfa.Name, cred mfa.Credential) (mfa.Identity, error) {
	return u.CheckForwarded(ctx, user, cred, nil)
}

// CheckForwarded implements mfa.Forwarder.
func (u *Primary) CheckForwarded(ctx context.Context, user mfa.Name, cred mfa.Credential, carrier any) (mfa.Identity, error) {
	switch c := cred.(type) {
	case mfa.Password:
		if c == "" || !isForwarded(c) {
			return mfa.Identity{}, errUpstreamForm
		}
	case mfa.MSCHAPv2:
	default:
		return mfa.Identity{}, errUpstreamCredential
	}
	if _, _, err := u.names.canonical(user.Sent()); err != nil || len(user.Sent()) > wire.MaxValue {
		return mfa.Identity{}, errors.Join(errUpstreamForm, err)
	}
	r, err := u.ask(ctx, u.query(user, cred, "", carrier), u.order())
	if err != nil {
		return mfa.Identity{}, err
	}
	return u.verdict(&r, user, cred)
}

// isForwarded refuses what another server might read as another password: one
// that is too long, or that has a NUL, where many stop reading.
func isForwarded(password mfa.Password) bool {
	return len(password) <= wire.MaxPassword && !strings.Contains(string(password), "\x00")
}

// carry is what an upstream's challenge needs to be answered.
type carry struct {
	server string
	at     string // its address that has asked: another one may be another machine
	state  string
}

// Continue implements mfa.PrimaryContinuer. Only the server that has asked is
// asked again: no other one knows its State.
func (u *Primary) Continue(ctx context.Context, user mfa.Name, c *mfa.PrimaryChallenge, answer mfa.Password, carrier any) (mfa.Identity, error) {
	from, ok := c.Carry.(carry)
	if !ok {
		return mfa.Identity{}, errors.New("radius: a challenge of another primary")
	}
	if !isForwarded(answer) {
		return mfa.Identity{}, errUpstreamForm
	}
	for _, s := range u.servers {
		if s.address != from.server {
			continue
		}
		if err := ctx.Err(); err != nil {
			return mfa.Identity{}, err
		}
		limit := u.timeout
		if last, ok := ctx.Deadline(); ok {
			limit = min(limit, time.Until(last))
		}
		r, err := s.exchangeWith(ctx, []string{from.at}, u.query(user, answer, from.state, carrier), limit, false)
		if err != nil {
			return mfa.Identity{}, fmt.Errorf("radius %s: %w", s.address, err)
		}
		return u.verdict(&r, user, answer)
	}
	return mfa.Identity{}, fmt.Errorf("radius %s: it asked for more, and is not a server of this primary any more", from.server)
}

func (u *Primary) query(user mfa.Name, cred mfa.Credential, state string, carrier any) *wire.Query {
	q := &wire.Query{Code: wire.AccessRequest, User: user.Sent(), Cred: cred, State: state, Tail: u.nasIdentifier}
	if c, ok := cred.(mfa.MSCHAPv2); ok {
		q.User = c.NameOf(user)
	}
	if f, ok := carrier.(*Forwarded); ok && f != nil {
		q.Tail = append(q.Tail[:len(q.Tail):len(q.Tail)], f.attributes...)
	}
	return q
}

// order is which servers a login asks: those that live in their order, and
// then the dead ones, because there is nothing to lose.
func (u *Primary) order() []*server {
	var live, dead []*server
	for _, s := range u.servers {
		if s.usable() {
			live = append(live, s)
		} else {
			dead = append(dead, s)
		}
	}
	return append(live, dead...)
}

// ask asks one server after the other until one answers or ctx ends, which is
// before the NAS gives up.
func (u *Primary) ask(ctx context.Context, q *wire.Query, servers []*server) (reply, error) {
	if err := ctx.Err(); err != nil {
		return reply{}, err
	}
	end := time.Now().Add(u.timeout * time.Duration(len(servers)))
	if last, ok := ctx.Deadline(); ok && last.Before(end) {
		end = last
	}
	var failed []error
	for i, s := range servers {
		r, err := s.exchange(ctx, q, min(time.Until(end), u.timeout), i+1 < len(servers))
		if err == nil {
			return r, nil
		}
		failed = append(failed, fmt.Errorf("radius %s: %w", s.address, err))
		if !time.Now().Before(end) || ctx.Err() != nil {
			break
		}
	}
	return reply{}, errors.Join(failed...)
}

// verdict is what an answer means.
func (u *Primary) verdict(r *reply, user mfa.Name, cred mfa.Credential) (mfa.Identity, error) {
	_, mschap := cred.(mfa.MSCHAPv2)
	switch r.Code {
	case wire.AccessAccept:
		id, err := u.identity(r, user, mschap)
		if err != nil {
			return mfa.Identity{}, fmt.Errorf("radius %s: its Access-Accept is not taken: %w", r.server.address, err)
		}
		return id, nil
	case wire.AccessReject:
		err := errUpstreamReject
		if mschap {
			err = r.mschapReject()
		}
		return mfa.Identity{}, &mfa.UserError{User: u.CanonicalName(user), Err: err}
	case wire.AccessChallenge:
		if r.State() == "" {
			return mfa.Identity{}, fmt.Errorf("radius %s: its Access-Challenge has no State", r.server.address)
		}
		return mfa.Identity{}, &mfa.PrimaryChallenge{
			Message: challengeText(r.Message()), Echo: r.Echo(), Carry: carry{server: r.server.address, at: r.at, state: r.State()},
		}
	}
	return mfa.Identity{}, fmt.Errorf("radius %s: unexpected %v", r.server.address, r.Code)
}
