package radius

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/wire"
)

// Require says when a request must carry a Message-Authenticator. The zero
// value refuses every request without one.
type Require int

// The values of require_message_authenticator.
const (
	RequireYes  Require = iota
	RequireAuto         // from a source address that has once signed
	RequireNo
)

var requires = [...]string{"yes", "auto", "no"}

func (r Require) String() string { return requires[r] }

// ParseRequire reads a value of require_message_authenticator.
func ParseRequire(s string) (Require, error) {
	if i := slices.Index(requires[:], s); i >= 0 {
		return Require(i), nil
	}
	return RequireYes, fmt.Errorf("must be one of yes, no, auto; got %q", s)
}

// Client is one RADIUS client. It must not be changed once a Table was made
// with it.
type Client struct {
	Name     string
	Prefixes []netip.Prefix
	// Behind is the name of another client, the proxy that this one's requests come
	// through. Then it has neither Prefixes nor Secrets nor RequireMA of its own. A
	// signed request of that client is its, if the NAS-Identifier is one of
	// Identifiers or, failing that, the address of the NAS is in NASPrefixes.
	Behind      string
	Identifiers []string
	NASPrefixes []netip.Prefix
	// Secrets is the shared secret, or two while it is rotated, the current one
	// first. A signed request tells which of the two it uses; for an unsigned one,
	// which cannot tell, only the first is valid.
	Secrets     [][]byte
	RequireMA   Require
	RejectDelay time.Duration // least time from a request to its Access-Reject; up to a fifth is added
	Profile     *profile.Profile
	// AnyNASType takes a request without a password, where the profile allows one,
	// from a NAS that does not say that it is an RD Gateway.
	AnyNASType bool
	Policy     *mfa.Client // for the Authenticator
}

// Table finds the client of a source address, and those behind it. It is immutable.
type Table struct {
	clients  []*client
	names    map[string]*client
	networks networks
}

// client is a Client as the server uses it.
type client struct {
	Client
	index    int // in its table
	secrets  []*wire.Secret
	forwards bool    // its primary tells another server what the NAS says
	behind   *behind // nil: no client is behind it
}

// NewTable checks clients and makes their table. The same prefix twice, a client
// without prefix or secret that is behind no other, and the same name twice are
// errors.
func NewTable(clients []Client) (*Table, error) {
	t := &Table{names: make(map[string]*client)}
	for _, c := range clients {
		if t.named(c.Name) != nil {
			return nil, fmt.Errorf("client %q: the name is taken by another client", c.Name)
		}
		if err := t.add(c); err != nil {
			return nil, fmt.Errorf("client %q: %w", c.Name, err)
		}
	}
	for _, c := range t.clients {
		if err := t.place(c); err != nil {
			return nil, fmt.Errorf("client %q: %w", c.Name, err)
		}
	}
	return t, nil
}

func (t *Table) add(c Client) error {
	switch {
	case c.Name == "":
		return errors.New("has no name")
	case c.Behind != "" && (len(c.Prefixes) > 0 || len(c.Secrets) > 0):
		return errors.New("has an address or a secret, and is behind another client")
	case c.Behind == "" && len(c.Prefixes) == 0:
		return errors.New("has no address")
	case c.Behind == "" && (len(c.Secrets) == 0 || len(c.Secrets) > 2):
		return fmt.Errorf("must have one secret, or two while it is rotated; has %d", len(c.Secrets))
	case c.Profile == nil || c.Policy == nil:
		return errors.New("has no profile or no policy")
	}
	own := &client{Client: c, index: len(t.clients)}
	own.forwards = c.Policy.Forwarder != nil
	for _, s := range c.Secrets {
		if len(s) == 0 {
			return errors.New("has an empty secret")
		}
		own.secrets = append(own.secrets, wire.NewSecret(s))
	}
	for _, p := range c.Prefixes {
		if err := t.networks.add(p, own); err != nil {
			return err
		}
	}
	t.clients = append(t.clients, own)
	t.names[c.Name] = own
	return nil
}

// networks finds the client of an address: the longest prefix wins. The zero value
// has none.
type networks struct {
	prefixes map[netip.Prefix]*client
	bits4    []int // lengths in use, longest first
	bits6    []int
}

func (n *networks) add(p netip.Prefix, own *client) error {
	if !p.IsValid() {
		return errors.New("has an invalid address")
	}
	p = canonicalPrefix(p)
	if other, ok := n.prefixes[p]; ok {
		return fmt.Errorf("address %s is already that of client %q", p, other.Name)
	}
	if n.prefixes == nil {
		n.prefixes = make(map[netip.Prefix]*client)
	}
	n.prefixes[p] = own
	bits := &n.bits6
	if p.Addr().Is4() {
		bits = &n.bits4
	}
	if !slices.Contains(*bits, p.Bits()) {
		*bits = append(*bits, p.Bits())
		slices.SortFunc(*bits, func(a, b int) int { return b - a })
	}
	return nil
}

// canonicalPrefix clears the host bits and turns an IPv4-mapped prefix into the
// IPv4 one, so that the same network has one spelling.
func canonicalPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// Lookup returns the client that source belongs to.
func (t *Table) Lookup(source netip.Addr) (*Client, bool) {
	if c := t.networks.lookup(source); c != nil {
		return &c.Client, true
	}
	return nil, false
}

func (n *networks) lookup(source netip.Addr) *client {
	source = source.Unmap().WithZone("")
	lengths := n.bits6
	if source.Is4() {
		lengths = n.bits4
	}
	for _, bits := range lengths {
		p, err := source.Prefix(bits)
		if err != nil {
			continue
		}
		if c, ok := n.prefixes[p]; ok {
			return c
		}
	}
	return nil
}

// behind finds the clients behind a proxy by what a request says of its NAS. The
// proxy signs that, so that its word for it is as good as the proxy's checks.
type behind struct {
	identifiers map[string]*client
	networks    networks
}

// place puts a client behind the one that it names.
func (t *Table) place(c *client) error {
	switch {
	case c.Behind == "" && (len(c.Identifiers) > 0 || len(c.NASPrefixes) > 0):
		return errors.New("is told by its NAS, and is behind no client")
	case c.Behind == "":
		return nil
	case len(c.Identifiers) == 0 && len(c.NASPrefixes) == 0:
		return errors.New("has neither a NAS-Identifier nor an address of a NAS")
	}
	outer := t.named(c.Behind)
	switch {
	case outer == nil:
		return fmt.Errorf("no client is named %q", c.Behind)
	case outer.Behind != "":
		return fmt.Errorf("client %q is behind another itself", c.Behind)
	case outer.behind == nil:
		outer.behind = &behind{identifiers: make(map[string]*client)}
	}
	for _, id := range c.Identifiers {
		if other, ok := outer.behind.identifiers[id]; ok {
			return fmt.Errorf("NAS-Identifier %q is already that of client %q", id, other.Name)
		}
		outer.behind.identifiers[id] = c
	}
	for _, p := range c.NASPrefixes {
		if err := outer.behind.networks.add(p, c); err != nil {
			return err
		}
	}
	return nil
}

// named returns the client of that name, nil if there is none.
func (t *Table) named(name string) *client { return t.names[name] }

// find returns the client that the request, which must be authentic, is of, nil
// where it is the proxy's own. NAS-Identifier comes before NAS-IP-Address, and that
// before NAS-IPv6-Address. One that stands twice says nothing: a proxy may have
// looked at the other.
func (b *behind) find(r *wire.Request) *client {
	var id, v4, v6 once
	for typ, v := range wire.Attributes(r.Raw) {
		switch typ {
		case wire.TypeNASIdentifier:
			id.see(v)
		case wire.TypeNASIPAddress:
			v4.see(v)
		case wire.TypeNASIPv6Address:
			v6.see(v)
		}
	}
	if id.seen > 1 || v4.seen > 1 || v6.seen > 1 {
		return nil
	}
	if c := b.identifiers[string(id.value)]; c != nil {
		return c
	}
	for _, v := range [...][]byte{v4.value, v6.value} {
		if addr, ok := netip.AddrFromSlice(v); ok {
			if c := b.networks.lookup(addr); c != nil {
				return c
			}
		}
	}
	return nil
}

// once is an attribute that may stand once.
type once struct {
	value []byte
	seen  int
}

func (o *once) see(v []byte) { o.value, o.seen = v, o.seen+1 }
