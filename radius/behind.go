package radius

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/radmatch/radmatch/radius/wire"
)

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
