package text

import "unicode/utf8"

// Cut is the start of a text that fits in most octets, cut between runes.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	most = max(most, 0)
	for cut := most; cut > most-utf8.UTFMax && cut >= 0; cut-- {
		if utf8.RuneStart(s[cut]) {
			return s[:cut]
		}
	}
	return s[:most] // not UTF-8
}

// Short is a text of which at most so many octets are shown; one that is cut is
// marked. It makes nothing printable.
func Short(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return Cut(s, most) + "…"
}
