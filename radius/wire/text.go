package wire

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// RADIUS texts are UTF-8 (RFC 2865 §5), and many devices send Windows-1252, of which
// Latin-1 is a part. A packet that is authenticated was not garbled by a wrong secret:
// what is not UTF-8 in it is read as that. What has control characters then is no text.

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

// CutText is the start of text that fits in most octets, cut between runes.
func CutText(text string, most int) string {
	if len(text) <= most {
		return text
	}
	most = max(most, 0)
	for cut := most; cut > most-utf8.UTFMax && cut >= 0; cut-- {
		if utf8.RuneStart(text[cut]) {
			return text[:cut]
		}
	}
	return text[:most] // not UTF-8
}

// maxPrintable bounds a text from the network in a log line, in runes.
const maxPrintable = 128

// Printable returns a text from the network as a log may show it: cut, and
// without characters that move the cursor, reorder a line or are none.
func Printable(s string) string {
	plain := len(s) <= maxPrintable
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] < 0x7f
	}
	if plain {
		return s
	}
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > maxPrintable {
			b.WriteString("…")
			break
		}
		if unicode.IsGraphic(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}
