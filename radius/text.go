package radius

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// RADIUS texts are UTF-8 (RFC 2865 §5), and many devices send Windows-1252, of which
// Latin-1 is a part. A packet that is authenticated was not garbled by a wrong secret:
// what is not UTF-8 in it is read as that. What has control characters then is no text.

// appendText appends v in UTF-8. It reports false, and appends nothing, where v is no text.
func appendText(b, v []byte) ([]byte, bool) {
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

// toText is a text of an authenticated packet as the trail keeps it. Its length is
// that of an attribute.
func toText(v []byte) string {
	var room [2 * maxValue]byte
	b, ok := appendText(room[:0], v)
	if !ok {
		return strings.ToValidUTF8(string(v), "\uFFFD")
	}
	return string(b)
}

// appendText is that for a text of the request: of an unsigned one it appends v as it is.
func (r *request) appendText(b, v []byte) []byte {
	if r.ma == 0 {
		return append(b, v...)
	}
	if text, ok := appendText(b, v); ok {
		return text
	}
	return append(b, v...)
}
