package wire

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// RADIUS texts are UTF-8 (RFC 2865 §5), and many devices send Windows-1252, of which
// Latin-1 is a part. A packet that is authenticated was not garbled by a wrong secret:
// octets in it that are not UTF-8 are read as that. A value that has control characters then is no text.

// AppendText appends v in UTF-8. It reports false, and appends nothing, where v is no text.
func AppendText(b, v []byte) ([]byte, bool) {
	if utf8.Valid(v) {
		return append(b, v...), true
	}
	start := len(b)
	for _, c := range v {
		r := charmap.Windows1252.DecodeByte(c)
		if r == utf8.RuneError || unicode.IsControl(r) {
			return b[:start], false
		}
		b = utf8.AppendRune(b, r)
	}
	return b, true
}

// ToText is a text of an authenticated packet as the trail keeps it. Its length is
// that of an attribute.
func ToText(v []byte) string {
	var room [2 * MaxValue]byte
	b, ok := AppendText(room[:0], v)
	if !ok {
		return strings.ToValidUTF8(string(v), "\uFFFD")
	}
	return string(b)
}
