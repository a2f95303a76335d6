package radius

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/login"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/wire"
)

// site is a server with a whole engine on fakes and without sockets. In a
// synctest bubble the timers of a device run in no time. Its one user, nemo, has
// the password arctangent, and a device or a token.
type site struct {
	*Server
	t       *testing.T
	profile *profile.Profile
	client  *mfa.Client
	engine  *login.Engine
	user    mfa.User

	checks  atomic.Int32 // of the password
	prompts atomic.Int32 // of the phone
	codes   atomic.Int32 // that were examined

	mu       sync.Mutex
	after    time.Duration // how long the user takes; 0: without end
	denies   bool
	endUsers map[string]bool
	addrs    map[netip.Addr]bool
	events   []mfa.Event
}

// newSite must be called inside a bubble. change may alter the profile as the
// keys of a client do.
func newSite(t *testing.T, kind string, method mfa.Method, change func(*profile.Profile)) *site {
	t.Helper()
	base, err := profile.Lookup(kind)
	if err != nil {
		t.Fatal(err)
	}
	p := *base
	if change != nil {
		change(&p)
	}
	s := &site{Server: &Server{}, t: t, profile: &p, endUsers: map[string]bool{}, addrs: map[netip.Addr]bool{}}
	s.user = mfa.User{Name: mfa.NameOf("nemo"), Devices: 1}
	if method == mfa.MethodOTP {
		s.user = mfa.User{Name: mfa.NameOf("nemo"), Codes: 1}
	}
	style, _ := p.MFA["append"].(string)
	s.client = &mfa.Client{
		Name: "vpn", Group: "vpn", Prompts: p.Prompts, ShowsMessage: p.ShowsReplyMessage,
		StaticChallenge: p.StaticChallenge, Append: mfa.AppendStyle(style), AppendDelimiter: ",",
		Primary: s, Abilities: s.Abilities(), Pusher: phones{s}, Join: true, RequireUserMatch: true,
		PushTimeout: 55 * time.Second, ChallengeTTL: 3 * time.Minute, RejectDelay: time.Second,
		OnPrimaryError: mfa.Discard, OnMFAError: mfa.Discard,
	}
	s.engine = &login.Engine{
		Pending: &login.Pending{Journal: s, Ledger: s, Directory: s, Max: 100, MaxPerClient: 100}, Limits: &login.Limits{}, Refusals: &login.Refusals{Journal: s},
		Directory: s, Codes: s,
		Lockout: login.Rule{Max: 10, Window: 15 * time.Minute, For: 15 * time.Minute},
		Fatigue: login.Rule{Max: 5, Window: 10 * time.Minute, For: 30 * time.Minute},
	}
	table, err := NewTable([]Client{{
		Name: "vpn", Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, Secrets: [][]byte{[]byte(testSecret)},
		RejectDelay: time.Second, Profile: s.profile, Policy: s.client,
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.Swap(Service{Table: table, Authenticator: s})
	ctx, stop := context.WithCancel(t.Context())
	go s.engine.Pending.Run(ctx)
	go s.engine.Refusals.Run(ctx)
	t.Cleanup(func() {
		s.engine.Pending.Close(context.Background())
		stop()
		s.cancel() // idle workers end
		synctest.Wait()
	})
	return s
}

func (s *site) Authenticate(ctx context.Context, r *mfa.Request, reply func(mfa.Decision)) {
	s.mu.Lock()
	s.endUsers[r.EndUser], s.addrs[r.Address] = true, true
	s.mu.Unlock()
	s.engine.Authenticate(ctx, r, reply)
}

func (s *site) Abilities() mfa.Abilities { return mfa.Abilities{Finder: s, FromMemory: true} }

// phones are those of the site's user.
type phones struct{ *site }

func (phones) Abilities() mfa.PushAbilities { return mfa.PushAbilities{} }

func (s *site) Check(_ context.Context, who mfa.Name, cred mfa.Credential) (mfa.Identity, error) {
	user := who.Sent()
	s.checks.Add(1)
	identity := mfa.Identity{Name: mfa.NameOf(user), Known: true}
	switch c := cred.(type) {
	case mfa.Password:
		if c == "arctangent" {
			return identity, nil
		}
	case mfa.MSCHAPv2:
		if c.NTResponse[0] == 1 {
			identity.MSCHAP = &mfa.MSCHAPKeys{Name: user}
			return identity, nil
		}
	}
	return mfa.Identity{}, mfa.ErrRejected
}

func (s *site) Push(ctx context.Context, _ mfa.Prompt) (mfa.Approval, error) {
	s.prompts.Add(1)
	after, denies := s.after, s.denies // set before the login
	if after == 0 {
		<-ctx.Done()
		return mfa.Approval{}, ctx.Err()
	}
	select {
	case <-ctx.Done():
		return mfa.Approval{}, ctx.Err()
	case <-time.After(after):
	}
	if denies {
		return mfa.Approval{}, mfa.ErrRejected
	}
	return mfa.Approval{}, nil
}

func (s *site) User(context.Context, mfa.Name) (mfa.User, error) { return s.user, nil }
func (s *site) Registered(context.Context, string) error         { return nil }
func (s *site) HasForm(_ mfa.Name, answer string) bool {
	return len(answer) == 6 && strings.Trim(answer, "0123456789") == ""
}
func (s *site) Record(_ context.Context, ev mfa.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, ev)
	return nil
}

// Append is the ledger of the one user, to whom nothing else happens.
func (s *site) Append(ctx context.Context, _ mfa.Version, ev mfa.Event) error {
	if !ev.Kind.IsStep() {
		if err := s.Record(ctx, ev); err != nil {
			return err
		}
	}
	s.engine.Apply(ev)
	return nil
}

func (s *site) CheckCode(_ context.Context, _ mfa.Name, code string) (mfa.Use, error) {
	s.codes.Add(1)
	if code != "123456" {
		return mfa.Use{}, mfa.ErrRejected
	}
	return mfa.Use{Method: "totp"}, nil
}

// What becomes of a login at a device.
var (
	errRejected  = errors.New("rejected")
	errNoAnswer  = errors.New("no answer")
	errChallenge = errors.New("cannot show a challenge")
)

// device is a NAS as its makers built it: how often it sends, how long it waits,
// and what it makes of an answer.
type device struct {
	profile string
	// tries is how long it waits after each sending of a request.
	tries []time.Duration
	// fresh: each try is another packet, with an identifier and authenticator of
	// its own, that is not known for a retransmission.
	fresh bool
	// ports: each request leaves from a port of its own.
	ports bool
	// once: the answer to a challenge is sent once, and waited for as long as tries[0].
	once bool
	// protocols are tried one after the other, each after an Access-Reject. PAP
	// where there are none.
	protocols []string
	// endUser is what the n-th request says of the user, who is at 198.51.100.7.
	endUser func(n int) []mfa.Attribute
	// typed is what a user types who has a passcode, where the device cannot ask.
	typed string
	// read is what the device makes of an answer before anything else; nil: all is well.
	read func(packet []byte) error

	site   *site
	sent   int // requests
	dialog func(text string) string
	shown  []string // texts that the user saw
}

// cable is the way back to one socket of the device.
type cable struct {
	from  netip.AddrPort
	inbox chan []byte
}

func (w *cable) Send(b []byte, to Peer) error {
	if to.Source == w.from { // a connected socket takes nothing else
		w.inbox <- append([]byte(nil), b...)
	}
	return nil
}

// login is one login: nil if the device lets the user in.
func (d *device) login(password string) error {
	protocols := d.protocols
	if protocols == nil {
		protocols = []string{"pap"}
	}
	err := errRejected
	for _, protocol := range protocols {
		if err = d.dial(protocol, password); !errors.Is(err, errRejected) {
			break
		}
	}
	return err
}

func (d *device) dial(protocol, password string) error {
	q := wire.Query{Code: wire.AccessRequest, User: "nemo", Cred: mfa.Password(password), Attributes: d.endUser(d.sent)}
	switch protocol {
	case "mschap":
		cred := mfa.MSCHAPv2{}
		if password == "arctangent" {
			cred.NTResponse[0] = 1
		}
		q.Cred = cred
	case "chap":
		q.Cred = nil
		q.Attributes = append(q.Attributes, mfa.Attribute{Type: wire.TypeCHAPPassword, Value: make([]byte, 17)})
	}
	tries := d.tries
	for range 10 {
		a, packet := d.exchange(q, tries)
		if packet == nil {
			return errNoAnswer
		}
		if d.read != nil {
			if err := d.read(packet); err != nil {
				return err
			}
		}
		for typ := range wire.Attributes(packet) {
			if typ == wire.TypeProxyState {
				return errors.New("a Proxy-State that was not sent")
			}
		}
		switch a.Code {
		case wire.AccessAccept:
			return nil
		case wire.AccessReject:
			return errRejected
		}
		if d.dialog == nil {
			return errChallenge
		}
		d.shown = append(d.shown, a.Message())
		q.Cred, q.State = mfa.Password(d.dialog(a.Message())), a.State()
		if d.once {
			tries = tries[:1]
		}
	}
	return errors.New("challenges without end")
}

// exchange sends a request as often as the device does, and returns the answer
// and its octets, nil for none.
func (d *device) exchange(q wire.Query, tries []time.Duration) (wire.Answer, []byte) {
	d.site.t.Helper()
	d.sent++
	from := netip.MustParseAddrPort("192.0.2.1:1024")
	if d.ports {
		from = netip.AddrPortFrom(from.Addr(), uint16(20000+d.sent))
	}
	w := &cable{from: from, inbox: make(chan []byte, 10)}
	secret := wire.NewSecret([]byte(testSecret))
	var packet []byte
	var auth *[16]byte
	id := byte(d.sent)
	for i, wait := range tries {
		if packet == nil || d.fresh {
			id, auth = byte(10*d.sent+i), authOf(byte(10*d.sent+i))
			var err error
			if packet, err = q.Append(nil, id, auth, secret); err != nil {
				d.site.t.Fatal(err)
			}
		}
		d.site.Receive(&Arrival{Sender: w, Peer: Peer{Source: from}, Packet: packet})
		timeout := time.After(wait)
		for waiting := true; waiting; {
			select {
			case b := <-w.inbox:
				// The first attribute is what radcli and FortiOS look at.
				if b[wire.HeaderSize] != wire.TypeMessageAuthenticator {
					d.site.t.Errorf("the first attribute of an answer is %d", b[wire.HeaderSize])
				}
				a, err := wire.ParseAnswer(append([]byte(nil), b...), id, auth, secret)
				if err == nil {
					return a, b
				}
				if !d.fresh {
					d.site.t.Errorf("an answer that does not verify: got %v; want fresh true", err)
				}
			case <-timeout:
				waiting = false
			}
		}
	}
	return wire.Answer{}, nil
}

// textAttribute is an attribute of text for an end user.
func textAttribute(name, value string) mfa.Attribute {
	a, err := wire.NASAttribute(name, value)
	if err != nil {
		panic(fmt.Sprint("radius: internal error: ", err))
	}
	return a
}

func (d *device) wait() (all time.Duration) {
	for _, try := range d.tries {
		all += try
	}
	return all
}
