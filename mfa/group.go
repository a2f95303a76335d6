package mfa

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// Group is a group of users: its name, in its form as a Name is, or its DN. The two
// are never taken for each other: anyone who may choose the name of a group could
// call it like the DN of another one.
type Group struct {
	name Name
	// dn is where the group is in a directory. Of a Group that is known by its DN
	// only, byDN, it is the form by which DNs are compared.
	dn   string
	byDN bool
}

// GroupOf reads what a file or a command calls a group: its DN where the text is
// one, or its name.
func GroupOf(text string) Group {
	if form, ok := dnForm(text); ok {
		return Group{name: NameOf(text), dn: form, byDN: true}
	}
	return Group{name: NameOf(text)}
}

// GroupIn is a group of a directory, whose name is no DN whatever it looks like.
func GroupIn(name, dn string) Group { return Group{name: NameOf(name), dn: dn} }

// GroupsOf reads what a file calls groups.
func GroupsOf(texts ...string) []Group {
	if len(texts) == 0 {
		return nil
	}
	groups := make([]Group, len(texts))
	for i, s := range texts {
		groups[i] = GroupOf(s)
	}
	return groups
}

// Is reports whether both are one group: by their DNs where one of them is known
// only by that and otherwise by their names.
func (g Group) Is(other Group) bool {
	if !g.byDN && !other.byDN {
		return g.name.Is(other.name)
	}
	own, ok := g.form()
	theirs, too := other.form()
	return ok && too && own == theirs
}

// form is that of the DN. A directory's own is brought into it when it is asked
// for, because few files name groups by DNs.
func (g Group) form() (form string, ok bool) {
	if g.byDN {
		return g.dn, true
	}
	return dnForm(g.dn)
}

// DN returns the DN as it is spelled; empty for a group that is known only by its name.
func (g Group) DN() string {
	if g.byDN {
		return g.name.String()
	}
	return g.dn
}

// ByDN reports whether the group is known only by its DN.
func (g Group) ByDN() bool { return g.byDN }

// Everyone reports whether this is AllUsers.
func (g Group) Everyone() bool { return !g.byDN && g.name.form == AllUsers }

// IsZero reports whether there is no name.
func (g Group) IsZero() bool { return g.name.IsZero() }

// String returns the spelling.
func (g Group) String() string { return g.name.String() }

// MarshalText writes the spelling.
func (g Group) MarshalText() ([]byte, error) { return g.name.MarshalText() }

// UnmarshalText reads a spelling.
func (g *Group) UnmarshalText(b []byte) error {
	*g = GroupOf(string(b))
	return nil
}

// maxDN bounds a DN, in octets.
const maxDN = 4096

// dnForm brings a DN (RFC 4514) into the form by which DNs are compared: types in
// lower case, values as names are compared, escapes undone. It is not ok where
// text is no DN of two parts at least: a group is always in something.
func dnForm(text string) (form string, ok bool) {
	if len(text) > maxDN || strings.IndexByte(text, '=') <= 0 {
		return "", false
	}
	var parts, pairs []string
	for rest := text; ; {
		pair, end, left, ok := cutPair(rest)
		if !ok {
			return "", false
		}
		pairs = append(pairs, pair)
		if end != '+' {
			slices.Sort(pairs)
			parts, pairs = append(parts, strings.Join(pairs, "+")), nil
		}
		if end == 0 {
			return strings.Join(parts, ","), len(parts) > 1
		}
		rest = left
	}
}

// cutPair reads type=value up to what ends it: a comma (or a semicolon, as RFC 1779
// allows), a plus, or 0 for the end of the text.
func cutPair(text string) (pair string, end byte, rest string, ok bool) {
	typ, text, found := strings.Cut(text, "=")
	typ = strings.ToLower(strings.Trim(typ, " "))
	if !found || !isAttributeType(typ) {
		return "", 0, "", false
	}
	if own, ok := attributeTypes[typ]; ok {
		typ = own
	}
	text = strings.TrimLeft(text, " ")
	var value []byte
	kept := 0 // how much of value a blank at its end must not take away
	i := 0
	for ; i < len(text) && !strings.ContainsRune(",;+", rune(text[i])); i++ {
		switch c := text[i]; {
		case c == '"', c == 0:
			return "", 0, "", false
		case c != '\\':
			if value = append(value, c); c != ' ' {
				kept = len(value)
			}
			continue
		case i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			b, _ := hex.DecodeString(text[i+1 : i+3])
			value, i = append(value, b...), i+2
		case i+1 < len(text) && !isHex(text[i+1]):
			value, i = append(value, text[i+1]), i+1
		default:
			return "", 0, "", false
		}
		kept = len(value)
	}
	if kept == 0 {
		return "", 0, "", false
	}
	pair = typ + "=" + strconv.Quote(formOf(string(value[:kept]))) // quoted: no value can look like two parts
	if i == len(text) {
		return pair, 0, "", true
	}
	if end = text[i]; end == ';' {
		end = ','
	}
	return pair, end, text[i+1:], true
}

// attributeTypes are other names of the types that DNs are made of.
var attributeTypes = map[string]string{
	"commonname": "cn", "2.5.4.3": "cn", "organizationalunitname": "ou", "2.5.4.11": "ou", "organizationname": "o", "2.5.4.10": "o",
	"domaincomponent": "dc", "0.9.2342.19200300.100.1.25": "dc", "userid": "uid", "0.9.2342.19200300.100.1.1": "uid",
	"countryname": "c", "2.5.4.6": "c", "localityname": "l", "2.5.4.7": "l", "stateorprovincename": "st", "2.5.4.8": "st",
}

func isAttributeType(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return s != ""
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
