package upstream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/caller"
	"github.com/radmatch/radmatch/radius/wire"
)

var _ mfa.Connector = (*Primary)(nil)

// connectLimit is how long Connect waits for each kind of answer.
const connectLimit = 2 * time.Second

// Connect implements mfa.Connector.
func (u *Primary) Connect(ctx context.Context) error {
	failed := make([]error, len(u.servers))
	var all sync.WaitGroup
	for i, s := range u.servers {
		all.Go(func() { failed[i] = s.connect(ctx) })
	}
	all.Wait()
	return errors.Join(failed...)
}

// connect asks one server with a Status-Server and, where that gets no valid
// answer, with a login of no user: NPS does not know the first, and FreeRADIUS
// before 3.2.5 does not sign the answer.
func (s *server) connect(ctx context.Context) error {
	err := s.askStatus(ctx, connectLimit)
	if err == nil {
		return nil
	}
	if !errors.Is(err, caller.ErrNoAnswer) || errors.Is(err, errRefused) {
		return s.explain("status-server", err)
	}
	r, err := s.exchange(ctx, s.query(mfa.NameOf("radmatch-check"), mfa.Password(rand.Text()), "", nil), connectLimit, false)
	switch {
	case err != nil:
		return s.explain("access-request", err)
	case r.Code == wire.AccessAccept:
		return &mfa.ConnectError{Server: "radius " + s.address, Step: "access-request",
			Err:  errors.New("it accepts a user that does not exist, with any password"),
			Hint: "a server that accepts everyone must not be a primary"}
	}
	return nil
}

// explain says what to look at.
func (s *server) explain(step string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, caller.ErrInvalid):
		hint = "the secret there is another one, or the server does not sign its answers with Message-Authenticator, which radmatch demands"
	case errors.Is(err, errRefused):
		hint = "is the port right, and does the server run?"
	case errors.Is(err, caller.ErrNoAnswer):
		hint = fmt.Sprintf("is the address right, does every firewall let UDP through, and is this machine (%s) a client there with the same secret? "+
			"To an unknown client, and often to one with another secret, a server says nothing", s.localAddress())
	default:
		step = "connect"
	}
	return &mfa.ConnectError{Server: "radius " + s.address, Step: step, Err: err, Hint: hint}
}

// localAddress is the address that the server sees.
func (s *server) localAddress() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		return l.conn.LocalAddr().String()
	}
	return "its address on the way there"
}
