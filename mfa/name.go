package mfa

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Name is the name of a user. It holds the spelling, which is for readers, and
// the form, by which names are compared: two spellings that a directory takes for
// equal have one form. It is made only by NameOf, wherever a name comes in, so
// that no raw text is ever taken for a name. The zero Name is
// no name. Two Names are not comparable with ==, which would compare spellings.
type Name struct {
	_    [0]func()
	sent string
	form string
}

// NameKey is the form of a Name, for tables and columns. The zero NameKey is no name.
type NameKey struct{ form string }

// NameOf brings a name into its form, as directories match names (RFC 4518,
// caseIgnoreMatch): blanks around it are no part of it and several inside are
// one, what cannot be seen is left out, and compatible characters, accents that
// stand apart and capitals become the ordinary ones. ß and ss stay two: OpenLDAP
// holds them apart, and two accounts must never become one.
func NameOf(spelling string) Name { return Name{sent: spelling, form: formOf(spelling)} }

// Is reports whether both are the name of one user.
func (n Name) Is(other Name) bool { return n.form == other.form }

// Key returns the form, under which what belongs to the user is kept.
func (n Name) Key() NameKey { return NameKey{n.form} }

// IsZero reports whether there is no name.
func (n Name) IsZero() bool { return n.form == "" }

// String returns the spelling, without the blanks around it.
func (n Name) String() string { return strings.TrimFunc(n.sent, unicode.IsSpace) }

// Printable returns the name in a spelling for readers and authenticator apps: its form
// where a directory's own spelling has blanks of another kind, or what cannot be seen.
func (n Name) Printable() Name {
	if strings.ContainsFunc(n.String(), func(r rune) bool { return !unicode.IsPrint(r) }) {
		return n.Key().Name()
	}
	return n
}

// Sent returns the name octet for octet as it came: MS-CHAPv2 computes with it,
// and a primary is asked with it.
func (n Name) Sent() string { return n.sent }

// MarshalText writes the spelling.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads a spelling.
func (n *Name) UnmarshalText(b []byte) error {
	*n = NameOf(string(b))
	return nil
}

// String returns the form.
func (k NameKey) String() string { return k.form }

// IsZero reports whether there is no name.
func (k NameKey) IsZero() bool { return k.form == "" }

// Name returns a Name that is spelled as its form.
func (k NameKey) Name() Name { return Name{sent: k.form, form: k.form} }

// Alike is the form without accents. A primary that says nothing of whom it has
// refused, such as another RADIUS server before Windows, may take thousands of
// spellings for one name: guesses by all of them count together.
func (k NameKey) Alike() NameKey {
	for i := range len(k.form) {
		if k.form[i] >= utf8.RuneSelf {
			return NameKey{strings.Map(func(r rune) rune {
				if unicode.Is(unicode.Mn, r) {
					return -1
				}
				return r
			}, norm.NFD.String(k.form))}
		}
	}
	return k
}

// formOf does not allocate where the spelling is in its form already.
func formOf(s string) string {
	lower := true
	for i := range len(s) {
		switch c := s[i]; {
		case c >= utf8.RuneSelf || c < ' ' || c == 0x7f || c == ' ' && (i == 0 || i == len(s)-1 || s[i-1] == ' '):
			return prepare(s)
		case 'A' <= c && c <= 'Z':
			lower = false
		}
	}
	if lower {
		return s
	}
	return strings.ToLower(s)
}

// prepare does what RFC 4518 §2 says, in the order of OpenLDAP: characters are
// taken apart before capitals become small, so that İ does not become i. A name that
// is no text is left as it is: no directory has it.
func prepare(s string) string {
	if !utf8.ValidString(s) {
		return s
	}
	s = norm.NFKD.String(strings.Map(seen, s))
	s = norm.NFKC.String(strings.Map(unicode.ToLower, s))
	return strings.Join(strings.FieldsFunc(s, unicode.IsSpace), " ")
}

// seen drops what cannot be seen.
func seen(r rune) rune {
	if unicode.Is(unseen, r) {
		return -1
	}
	return r
}

// unseen are the characters that RFC 4518 §2.2 maps to nothing, and those of
// their kinds that Unicode has got since.
var unseen = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x0000, 0x0008, 1}, {0x000e, 0x001f, 1}, {0x007f, 0x0084, 1}, {0x0086, 0x009f, 1},
		{0x00ad, 0x00ad, 1}, {0x034f, 0x034f, 1}, {0x061c, 0x061c, 1}, {0x06dd, 0x06dd, 1}, {0x070f, 0x070f, 1},
		{0x1806, 0x1806, 1}, {0x180b, 0x180f, 1}, {0x200b, 0x200f, 1}, {0x202a, 0x202e, 1}, {0x2060, 0x206f, 1},
		{0xfe00, 0xfe0f, 1}, {0xfeff, 0xfeff, 1}, {0xfff9, 0xfffc, 1},
	},
	R32: []unicode.Range32{
		{0x1d173, 0x1d17a, 1}, {0xe0001, 0xe0001, 1}, {0xe0020, 0xe007f, 1}, {0xe0100, 0xe01ef, 1},
	},
	LatinOffset: 4,
}
