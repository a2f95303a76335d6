package radius

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
)

// UpstreamSettings are the keys of a primary of type `radius`.
type UpstreamSettings struct {
	Servers         []UpstreamServer `yaml:"servers" doc:"The servers, in the order in which they are asked: the next one only where the one before gives no answer."`
	Timeout         time.Duration    `yaml:"timeout" default:"3s" min:"500ms" max:"2m" doc:"How long a login waits for one server, with all that is sent again, before the next one is asked. Where the server itself asks the person (a push of its own), longer than that takes."`
	DeadAfter       int              `yaml:"dead_after" default:"3" min:"1" max:"100" doc:"After how many logins in a row without an answer a server is passed over. It is back at its first answer, to a Status-Server too."`
	DeadTime        time.Duration    `yaml:"dead_time" default:"1m" min:"1s" max:"1h" doc:"How often a server that is passed over and knows no Status-Server (NPS) is tried with one login."`
	NASIdentifier   string           `yaml:"nas_identifier" default:"radmatch" doc:"What radmatch calls itself to the servers (NAS-Identifier)."`
	DefaultDomain   string           `yaml:"default_domain" default:"" doc:"The domain of names without one. The servers get each name as it was typed."`
	Domains         []string         `yaml:"domains" default:"" doc:"Further domains that DOMAIN\\user and user@domain may name. Their users are known as NAME@DOMAIN: the same name in two domains is two users."`
	CanonicalDomain string           `yaml:"canonical_domain" default:"" doc:"When set, methods, blocks and events know the users of default_domain as NAME@canonical_domain, otherwise as NAME. Both then mean the same domain."`
	GroupsAttribute string           `yaml:"groups_attribute" default:"" doc:"The attribute of an Access-Accept whose values are the user's groups, such as Filter-Id or Class. Unset: no groups."`
}

// UpstreamServer is one server of a primary of type `radius`.
type UpstreamServer struct {
	Address    string       `yaml:"address" required:"true" example:"nps1.example.org:1812" doc:"HOST or HOST:PORT; the port is 1812 where there is none. All addresses of a name are tried until one answers."`
	Secret     mfa.Password `yaml:"secret" example:"a-long-random-secret-of-32-chars" doc:"The shared secret, at least 8 octets, better 32."`
	SecretFile string       `yaml:"secret_file" example:"secrets/nps" doc:"A file that holds the secret in place of secret."`
}

// The bounds of a shared secret, in octets, as those of a client.
const (
	minSecret = 8
	maxSecret = 253
)

// CheckSettings implements config.SettingsChecker.
func (s *UpstreamSettings) CheckSettings(problem func(key, rule, got string)) {
	if len(s.Servers) == 0 {
		problem("servers", "must have an entry", "")
	}
	seen := map[string]bool{}
	for i, server := range s.Servers {
		at := fmt.Sprintf("servers[%d].", i)
		address, err := server.dialAddress()
		switch {
		case err != nil:
			problem(at+"address", err.Error(), server.Address)
		case seen[address]:
			problem(at+"address", "must be there once", server.Address)
		}
		seen[address] = true
		switch {
		case server.Secret != "" && server.SecretFile != "":
			problem(at+"secret_file", "must not stand beside secret", "")
		case server.SecretFile != "":
		case server.Secret == "":
			problem(at+"secret", "must be there, or secret_file", "")
		default:
			if err := checkSecret(string(server.Secret)); err != nil {
				problem(at+"secret", err.Error(), "")
			}
		}
	}
	if n := len(s.NASIdentifier); n == 0 || n > maxValue {
		problem("nas_identifier", fmt.Sprintf("must be 1 to %d octets long", maxValue), s.NASIdentifier)
	}
	for key, d := range map[string]string{"default_domain": s.DefaultDomain, "canonical_domain": s.CanonicalDomain} {
		if err := checkDomain(d); d != "" && err != nil {
			problem(key, err.Error(), d)
		}
	}
	for i, d := range s.Domains {
		if err := checkDomain(d); err != nil {
			problem(fmt.Sprintf("domains[%d]", i), err.Error(), d)
		}
	}
}

func checkSecret(secret string) error {
	if n := len(secret); n < minSecret || n > maxSecret {
		return fmt.Errorf("must be from %d to %d octets", minSecret, maxSecret)
	}
	return nil
}

// dialAddress is the address with its port.
func (s *UpstreamServer) dialAddress() (string, error) {
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil && strings.Count(s.Address, ":") != 1 { // no port; IPv6 may stand without brackets
		host, port = strings.Trim(s.Address, "[]"), "1812"
	}
	n, err := net.LookupPort("udp", port)
	if err != nil || n == 0 || host == "" || strings.ContainsAny(host, " /[]@") {
		return "", errors.New("must be HOST or HOST:PORT, such as nps1.example.org:1812")
	}
	return net.JoinHostPort(host, port), nil
}

// Upstream is a primary that asks other RADIUS servers, in their order, one at a
// time. Its methods may be called concurrently. What the NAS said of a login
// comes with the context of the Server that received it.
//
// It starts nothing before the first login. Close ends the probes of dead
// servers; logins that still have it then go on.
type Upstream struct {
	// Taken, if it is set before the first Check, tells which names belong to users
	// of another primary: nobody gets in here under such a name.
	Taken func(name mfa.Name) bool

	servers       []*upstreamServer
	timeout       time.Duration
	deadAfter     int
	deadTime      time.Duration
	probeEvery    time.Duration
	nasIdentifier []byte // encoded
	names         nameSpace
	groups        AttributeType // the zero value: none
	dictionary    *Dictionary
	log           *zap.Logger
	dial          func(ctx context.Context, address string) (net.Conn, error)
	life          context.Context
	end           context.CancelFunc
	closed        atomic.Bool
}

var (
	_ mfa.PrimaryContinuer = (*Upstream)(nil)
	_ mfa.Namer            = (*Upstream)(nil)
)

// probeEvery is the shortest that RFC 3539 §3.4.1 allows between two watchdogs.
const probeEvery = 6 * time.Second

// idleLink is how long a socket stays open unused.
const idleLink = 30 * time.Second

// NewUpstream makes a primary of settings that have passed CheckSettings, each
// server with its Secret. The dictionary says which attributes of an answer are
// encrypted. A nil log is none.
func NewUpstream(s *UpstreamSettings, d *Dictionary, log *zap.Logger) (*Upstream, error) {
	groups, err := d.groupsAttribute(s.GroupsAttribute)
	if err != nil {
		return nil, fmt.Errorf("groups_attribute: %w; got %q", err, s.GroupsAttribute)
	}
	u := &Upstream{
		timeout: s.Timeout, deadAfter: s.DeadAfter, deadTime: s.DeadTime, probeEvery: probeEvery,
		nasIdentifier: appendAttribute(nil, typeNASIdentifier, []byte(s.NASIdentifier)),
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
		u.servers = append(u.servers, &upstreamServer{
			Upstream: u, address: address, host: host{addr: address}, secret: NewSecret([]byte(s.Servers[i].Secret)), opening: make(chan struct{}, 1),
		})
	}
	return u, nil
}

// Close ends what works in the background. It does not wait.
func (u *Upstream) Close() error {
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
func (u *Upstream) Check(ctx context.Context, user mfa.Name, cred mfa.Credential) (mfa.Identity, error) {
	switch c := cred.(type) {
	case mfa.Password:
		if c == "" || !isForwarded(c) {
			return mfa.Identity{}, errUpstreamForm
		}
	case mfa.MSCHAPv2:
	default:
		return mfa.Identity{}, errUpstreamCredential
	}
	if _, _, err := u.names.canonical(user.Sent()); err != nil || len(user.Sent()) > maxValue {
		return mfa.Identity{}, errors.Join(errUpstreamForm, err)
	}
	r, err := u.ask(ctx, u.query(ctx, user, cred, ""), u.order())
	if err != nil {
		return mfa.Identity{}, err
	}
	return u.verdict(&r, user, cred)
}

// isForwarded refuses what another server might read as another password: one
// that is too long, or that has a NUL, where many stop reading.
func isForwarded(password mfa.Password) bool {
	return len(password) <= maxPassword && !strings.Contains(string(password), "\x00")
}

// carry is what an upstream's challenge needs to be answered.
type carry struct {
	server string
	at     string // its address that has asked: another one may be another machine
	state  string
}

// Continue implements mfa.PrimaryContinuer. Only the server that has asked is
// asked again: no other one knows its State.
func (u *Upstream) Continue(ctx context.Context, user mfa.Name, c *mfa.PrimaryChallenge, answer mfa.Password) (mfa.Identity, error) {
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
		r, err := s.exchangeWith(ctx, []string{from.at}, u.query(ctx, user, answer, from.state), limit, false)
		if err != nil {
			return mfa.Identity{}, fmt.Errorf("radius %s: %w", s.address, err)
		}
		return u.verdict(&r, user, answer)
	}
	return mfa.Identity{}, fmt.Errorf("radius %s: it asked for more, and is not a server of this primary any more", from.server)
}

func (u *Upstream) query(ctx context.Context, user mfa.Name, cred mfa.Credential, state string) *Query {
	q := &Query{Code: AccessRequest, User: user.Sent(), Cred: cred, State: state, tail: u.nasIdentifier}
	if c, ok := cred.(mfa.MSCHAPv2); ok {
		q.User = c.NameOf(user)
	}
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		q.tail = append(q.tail[:len(q.tail):len(q.tail)], x.forward...)
	}
	return q
}

// order is which servers a login asks: those that live in their order, and
// then the dead ones, because there is nothing to lose.
func (u *Upstream) order() []*upstreamServer {
	var live, dead []*upstreamServer
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
func (u *Upstream) ask(ctx context.Context, q *Query, servers []*upstreamServer) (reply, error) {
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
func (u *Upstream) verdict(r *reply, user mfa.Name, cred mfa.Credential) (mfa.Identity, error) {
	_, mschap := cred.(mfa.MSCHAPv2)
	switch r.Code {
	case AccessAccept:
		id, err := u.identity(r, user, mschap)
		if err != nil {
			return mfa.Identity{}, fmt.Errorf("radius %s: its Access-Accept is not taken: %w", r.server.address, err)
		}
		return id, nil
	case AccessReject:
		err := errUpstreamReject
		if mschap {
			err = r.mschapReject()
		}
		return mfa.Identity{}, &mfa.UserError{User: u.CanonicalName(user), Err: err}
	case AccessChallenge:
		if r.State() == "" {
			return mfa.Identity{}, fmt.Errorf("radius %s: its Access-Challenge has no State", r.server.address)
		}
		return mfa.Identity{}, &mfa.PrimaryChallenge{
			Message: challengeText(r.Message()), Echo: r.Echo(), Carry: carry{server: r.server.address, at: r.at, state: r.State()},
		}
	}
	return mfa.Identity{}, fmt.Errorf("radius %s: unexpected %v", r.server.address, r.Code)
}
