package otp

import "unicode"

const (
	maxAnswer = 256 // bytes of an answer that are looked at; a longer one has no form
	maxCode   = 48  // characters of a code or a pass
)

// answer is what a user typed, normalised.
type answer struct {
	text   []byte // lower-case ASCII letters and digits only
	digits bool   // all of it are digits
	value  int32  // of 6 or 8 digits
}

// normalise reads a code as users type it and as input methods write it. It
// drops white space, hyphens and the invisible marks that come with a paste,
// and folds letters to lower case. Digits may be ASCII, full-width, Arabic-Indic
// or Persian, letters ASCII or full-width. Anything else, an empty or an
// overlong answer gives the zero answer, which has no form. The text is
// appended to buf[:0].
func normalise(buf []byte, s string) answer {
	if len(s) > maxAnswer {
		return answer{}
	}
	a := answer{text: buf[:0], digits: true}
	for _, r := range s {
		r = ascii(r)
		switch {
		case r >= '0' && r <= '9':
		case r >= 'a' && r <= 'z':
			a.digits = false
		case r == 0:
			continue
		default:
			return answer{}
		}
		if len(a.text) == maxCode {
			return answer{}
		}
		a.text = append(a.text, byte(r))
	}
	if len(a.text) == 0 {
		return answer{}
	}
	if a.digits = a.digits && (len(a.text) == 6 || len(a.text) == 8); a.digits {
		for _, c := range a.text {
			a.value = 10*a.value + int32(c-'0')
		}
	}
	return a
}

// ascii returns the lower-case ASCII character that r stands for, 0 if r is to
// be dropped, and r itself otherwise.
func ascii(r rune) rune {
	switch {
	case r >= '０' && r <= '９':
		r += '0' - '０'
	case r >= 'Ａ' && r <= 'Ｚ':
		r += 'a' - 'Ａ'
	case r >= 'ａ' && r <= 'ｚ':
		r += 'a' - 'ａ'
	case r >= '٠' && r <= '٩': // Arabic-Indic
		r += '0' - '٠'
	case r >= '۰' && r <= '۹': // Persian
		r += '0' - '۰'
	case r >= 'A' && r <= 'Z':
		r += 'a' - 'A'
	case r == '-' || r >= '\u2010' && r <= '\u2015' || r == '－' || r == '\u2212': // hyphens and dashes
		r = 0
	case unicode.IsSpace(r) || unicode.Is(unicode.Cf, r): // Cf: zero-width and direction marks
		r = 0
	case r == 0: // not a mark of ours to drop
		r = unicode.ReplacementChar
	}
	return r
}

// matches reports whether a has one of the forms.
func (f Forms) matches(a answer) bool {
	if a.digits {
		return f.Six && len(a.text) == 6 || f.Eight && len(a.text) == 8
	}
	return f.Pass > 0 && len(a.text) == f.Pass && isPass(a.text)
}
