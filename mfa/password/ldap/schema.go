package ldap

import (
	"context"
	"errors"
	"fmt"
	"github.com/radmatch/radmatch/mfa/password/ldap/conn"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
)

// directory is what is known of one after it was asked once: its flavor, and what
// it calls the attributes of the configuration.
type directory struct {
	ad         bool
	login      lookup
	reply      []Reply     // in the order of the settings
	attributes []string    // of a user that are needed
	foldsCase  atomic.Bool // it has found a name with capitals by the small ones
}

// The flavors of directories.
const (
	flavorAD       = "ad"
	flavorOpenLDAP = "openldap"
)

// rootDSE is what a server says of itself (RFC 4512 §5.1).
type rootDSE struct {
	ad     bool
	schema string // DN of the subschema entry; AD: of the folder of its schema
}

// readRootDSE asks the server what it is (MS-ADTS §3.1.1.3.4.3, Samba says the same).
func readRootDSE(ctx context.Context, c *conn.Conn) (rootDSE, error) {
	const activeDirectory = "1.2.840.113556.1.4.800"
	found, err := c.Search(ctx, conn.Query{Alone: true, Filter: "(objectClass=*)", Most: 1,
		Attributes: []string{"supportedCapabilities", "subschemaSubentry", "schemaNamingContext"}})
	if err != nil {
		return rootDSE{}, fmt.Errorf("root DSE: %w", err)
	}
	if len(found) != 1 {
		return rootDSE{}, nil
	}
	first := func(name string) string {
		if values := found[0].Values(name); len(values) > 0 {
			return values[0]
		}
		return ""
	}
	if slices.Contains(found[0].Values("supportedCapabilities"), activeDirectory) {
		return rootDSE{ad: true, schema: first("schemaNamingContext")}, nil
	}
	return rootDSE{schema: first("subschemaSubentry")}, nil
}

// directory returns what is known of this one, and asks where that is nothing.
func (p *Primary) directory(ctx context.Context, c *conn.Conn) (*directory, error) {
	if d := p.known.Load(); d != nil {
		return d, nil
	}
	d, _, err := p.learn(ctx, c)
	if err == nil {
		p.known.Store(d)
	}
	return d, err
}

// learn asks a server what it is and what it calls attributes.
func (p *Primary) learn(ctx context.Context, c *conn.Conn) (*directory, schema, error) {
	root := rootDSE{ad: p.settings.Flavor == flavorAD}
	if p.settings.Flavor == "auto" || !root.ad && len(p.settings.named()) > 0 {
		var err error
		if root, err = readRootDSE(ctx, c); err != nil {
			return nil, nil, err
		}
		if p.settings.Flavor != "auto" {
			root.ad = p.settings.Flavor == flavorAD
		}
	}
	var names schema
	if !root.ad && root.schema != "" && len(p.settings.named()) > 0 { // AD has one name for each attribute
		var err error
		if names, err = readSchema(ctx, c, root.schema); err != nil {
			return nil, nil, err
		}
	}
	return p.directoryOf(root.ad, names), names, nil
}

func (p *Primary) directoryOf(ad bool, names schema) *directory {
	d := &directory{ad: ad, login: p.settings.login(ad)}
	for _, a := range []*string{&d.login.attribute, &d.login.upn, &d.login.alternate} {
		*a = names.name(*a)
	}
	for _, r := range p.settings.Reply {
		d.reply = append(d.reply, Reply{Attribute: r.Attribute, From: names.name(r.From)})
	}
	d.attributes = p.attributes(d)
	return d
}

// named are the attributes that the operator has named.
func (s *Settings) named() []namedAttribute {
	var all []namedAttribute
	add := func(key, name string) {
		if name != "" {
			all = append(all, namedAttribute{key, name})
		}
	}
	add("login_attribute", s.LoginAttribute)
	add("alternate_login_attribute", s.AlternateLoginAttribute)
	for i, r := range s.Reply {
		add(fmt.Sprintf("reply[%d].from", i), r.From)
	}
	return all
}

type namedAttribute struct{ key, name string }

// schema has the name by which a directory answers for each name, and OID, of an
// attribute, in lower case. OpenLDAP answers with sn to anyone who asks for surname.
// It is nil where the directory shows no schema.
type schema map[string]string

// name is what the directory calls an attribute.
func (s schema) name(asked string) string {
	bare, options, _ := strings.Cut(asked, ";")
	own, ok := s[strings.ToLower(bare)]
	switch {
	case !ok:
		return asked
	case options != "":
		return own + ";" + options
	}
	return own
}

// has reports whether the schema has an attribute.
func (s schema) has(asked string) bool {
	bare, _, _ := strings.Cut(asked, ";")
	return s[strings.ToLower(bare)] != ""
}

// readSchema reads the names of attributes. One that is hidden is none: its error is
// an answer of the server.
func readSchema(ctx context.Context, c *conn.Conn, dn string) (schema, error) {
	found, err := c.Search(ctx, conn.Query{Base: dn, Alone: true, Filter: "(objectClass=subschema)", Attributes: []string{"attributeTypes"}, Most: 1})
	if result := (*conn.ResultError)(nil); errors.As(err, &result) {
		return nil, nil
	}
	if err != nil || len(found) == 0 {
		return nil, err
	}
	names := schema{}
	for _, definition := range found[0].Values("attributeTypes") {
		names.learn(definition)
	}
	return names, nil
}

// attributeType is the beginning of a definition (RFC 4512 §4.1.2).
var attributeType = regexp.MustCompile(`^\s*\(\s*(\S+)\s+NAME\s+(?:'([^']+)'|\(((?:\s*'[^']+')+)\s*\))`)

func (s schema) learn(definition string) {
	m := attributeType.FindStringSubmatch(definition)
	if m == nil {
		return
	}
	names := append([]string{m[2]}, strings.Fields(m[3])...)
	if m[2] == "" {
		names = names[1:]
	}
	for i := range names {
		names[i] = strings.Trim(names[i], "'")
	}
	for _, name := range append(names, m[1]) {
		s[strings.ToLower(name)] = names[0]
	}
}

// foreign is an attribute of an answer that nobody has asked for by that name: the
// directory calls one of those that were asked for so. Empty: there is none.
func (d *directory) foreign(e *conn.Entry) string {
	for name := range e.Attributes {
		bare, _, _ := strings.Cut(name, ";")
		asked := func(a string) bool {
			a, _, _ = strings.Cut(a, ";")
			return strings.EqualFold(a, bare)
		}
		if !slices.ContainsFunc(d.attributes, asked) {
			return bare
		}
	}
	return ""
}
