package text

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable makes a text from the network fit to be shown: at most max runes,
// the rest cut and marked, and everything that does not print on its own place
// (controls, terminal escapes, marks that turn the writing direction, invalid
// UTF-8) replaced. Where it is shown it is still to be escaped for that place.
func Printable(s string, max int) string {
	if plain(s, max) {
		return s
	}
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n == max && utf8.RuneCountInString(s) > max {
			b.WriteRune('…')
			break
		}
		if r != ' ' && !unicode.IsGraphic(r) || unicode.Is(unicode.Zs, r) && r != ' ' {
			r = utf8.RuneError
		}
		b.WriteRune(r)
	}
	return b.String()
}

func plain(s string, max int) bool {
	if len(s) > max {
		return false
	}
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// maxLogged bounds a text from the network in a log line, in runes.
const maxLogged = 128

// ForLog returns a text from the network as a log may show it: cut, and
// with escapes in place of characters that move the cursor, reorder a line or are
// none. Unlike Printable it shows which they were.
func ForLog(s string) string {
	if plain(s, maxLogged) {
		return s
	}
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > maxLogged {
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
