package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/radmatch/radmatch/config/load"
)

// maxIdentifier is the longest value of an attribute (RFC 2865 §5).
const maxIdentifier = 253

// ByNAS returns how a client behind a proxy is told: by NAS-Identifier, and by the
// address of the NAS.
func (c *Client) ByNAS() (identifiers []string, addresses []netip.Prefix) {
	for _, text := range c.NAS {
		if p, err := load.ParsePrefix(text); err == nil {
			addresses = append(addresses, p)
		} else {
			identifiers = append(identifiers, text)
		}
	}
	return identifiers, addresses
}

// ofProxy are the keys that the proxy has for all who are behind it.
var ofProxy = []string{"addresses", "secret", "secret_file", "require_message_authenticator"}

// checkBehind checks the clients behind a proxy, and has none wait longer than that.
func (c *Config) checkBehind(r *report, known Known) {
	owner := map[string]string{} // of a proxy and how it tells the client: the key
	for i := range c.Clients {
		cl, key := &c.Clients[i], load.Index("clients", i)
		if cl.Behind == "" {
			if r.Set(key + ".nas") {
				r.Add(key+".nas", "", "must not be there without behind: a client is told by its addresses")
			}
			continue
		}
		for _, k := range ofProxy {
			if at := key + "." + k; r.Set(at) {
				r.Add(at, "", "must not stand beside behind: that of client %s counts", cl.Behind)
			}
		}
		if len(cl.NAS) == 0 && !r.Failed(key+".nas") {
			r.Add(key+".nas", "", "must have an entry: the NAS-Identifier or the address that the device sends")
		}
		c.checkNAS(r, cl, key, owner)
		outer := c.outerOf(r, cl, key+".behind")
		if outer == nil {
			continue
		}
		cl.MFA.RequireMessageAuthenticator = outer.MFA.RequireMessageAuthenticator
		if outer.MFA.RequireMessageAuthenticator == RequireNo {
			r.Warn(key+".behind", "client %s need not sign (require_message_authenticator: no), and only signed requests are of client %s", outer.Name, cl.Name)
		}
		warnLoose(r, cl, key, known)
		capNASTimeout(r, cl, outer, key)
	}
}

// outerOf returns the proxy that a client is behind.
func (c *Config) outerOf(r *report, cl *Client, key string) *Client {
	i := slices.IndexFunc(c.Clients, func(o Client) bool { return o.Name == cl.Behind })
	switch {
	case r.Failed(key):
	case i < 0:
		var have []string
		for _, o := range c.Clients {
			if o.Behind == "" && o.Name != "" {
				have = append(have, o.Name)
			}
		}
		r.Add(key, load.Quote(cl.Behind), "must be the name of another client%s", load.Suggest(cl.Behind, have))
	case cl.Name == cl.Behind:
		r.Add(key, load.Quote(cl.Behind), "must be the name of another client")
	case c.Clients[i].Behind != "":
		r.Add(key, load.Quote(cl.Behind), "must not be a client that is behind another itself")
	default:
		return &c.Clients[i]
	}
	return nil
}

// nearAddress is what someone wrote who meant an address, such as 10.0.0.300, 10.0/16,
// 10.0.0.1-9 or 2001:db8::/x. As a NAS-Identifier it would be taken without a word,
// and the device would be an unknown client. A MAC address is none of them.
var nearAddress = regexp.MustCompile(`^\s*(\d{1,3}(\.[\d*x]{1,3}){2,}\.?\s*([/:-].*)?|\d{1,3}(\.\d{1,3})?/\d+|\[?[\da-fA-F:]*::.*)\s*$`)

// checkNAS checks how a client is told. owner has the keys of those before.
func (c *Config) checkNAS(r *report, cl *Client, key string, owner map[string]string) {
	for i, text := range cl.NAS {
		at := load.Index(key+".nas", i)
		p, err := load.ParsePrefix(text)
		host, _, _ := strings.Cut(text, "/")
		_, noAddress := netip.ParseAddr(host)
		switch {
		case r.Failed(at):
			continue
		case err != nil && noAddress == nil:
			r.Add(at, load.Quote(text), "%s", err) // nobody calls a device so
			continue
		case err != nil && (text == "" || len(text) > maxIdentifier):
			r.Add(at, load.Quote(text), "must be an address, a prefix, or a NAS-Identifier of 1 to %d octets", maxIdentifier)
			continue
		case err != nil && nearAddress.MatchString(text):
			r.Add(at, load.Quote(text), "must be an address or a prefix: it looks like one, and no device's NAS-Identifier does")
			continue
		case err != nil && strings.TrimSpace(text) != text:
			r.Add(at, load.Quote(text), "must have no blanks around it")
			continue
		case err != nil && strings.HasPrefix(text, "radmatch "):
			r.Add(at, load.Quote(text), "must not begin so: radmatch's own commands do")
			continue
		case err == nil:
			text = p.String()
		}
		text = cl.Behind + "\x00" + text
		if first, ok := owner[text]; ok {
			r.Add(at, load.Quote(cl.NAS[i]), "must be there once behind client %s; line %d has it (%s)", cl.Behind, r.Line(first), first)
			continue
		}
		owner[text] = at
	}
}

// warnLoose warns of what a request should not get only by the name of its NAS.
func warnLoose(r *report, cl *Client, key string, known Known) {
	warn := func(k, what string) {
		r.Warn(key+k, "%s, and any device behind client %s that the proxy lets use its name is this client", what, cl.Behind)
	}
	switch {
	case slices.Contains(known.NoPassword, cl.Profile):
		warn(".profile", "it needs no password")
	case cl.ExemptClient:
		warn(".exempt_client", "it needs no second factor")
	case r.Set(key + ".exempt"):
		warn(".exempt", "it exempts users from the second factor")
	}
}

// capNASTimeout has a client wait no longer than its proxy: who gives up first decides.
func capNASTimeout(r *report, cl, outer *Client, key string) {
	at := key + ".nas_timeout"
	if outer.NASTimeout == 0 || cl.NASTimeout > 0 && cl.NASTimeout <= outer.NASTimeout || r.Failed(at) {
		return
	}
	if r.Set(at) {
		r.Add(at, load.Quote(load.ShowDuration(cl.NASTimeout)), "must be at most the nas_timeout of client %s, %s: the proxy gives up then", outer.Name, load.ShowDuration(outer.NASTimeout))
		return
	}
	cl.NASTimeout = outer.NASTimeout
	cl.origins["nas_timeout"] = fmt.Sprintf("client %s", outer.Name)
}
