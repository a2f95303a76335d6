package otp

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/radmatch/radmatch/mfa"
)

func TestNormalise(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "123456", "123456"},
		{"spaces", " 123 456 ", "123456"},
		{"hyphen", "1234-5678", "12345678"},
		{"full-width", "１２３４５６", "123456"},
		{"full-width, ideographic space", "１２３　４５６", "123456"},
		{"Arabic-Indic", "١٢٣٤٥٦", "123456"},
		{"Persian", "۱۲۳۴۵۶", "123456"},
		{"mixed", "1２٣۴56", "123456"},
		{"no-break space", "123\u00a0456", "123456"},
		{"zero-width and direction marks", "\u202a123\u200b456\u202c\ufeff", "123456"},
		{"dashes", "12‐34–56", "123456"},
		{"line end", "123456\r\n", "123456"},
		{"pass", "K7MPQ-3X9DR", "k7mpq3x9dr"},
		{"full-width pass", "Ｋ７ｍｐｑ－３ｘ９ｄｒ", "k7mpq3x9dr"},
		{"empty", "", ""},
		{"only spaces", " \t-", ""},
		{"other letter", "12345é", ""},
		{"Devanagari", "१२३४५६", ""},
		{"superscript", "12345⁶", ""},
		{"NUL", "123456\x00", ""},
		{"bad UTF-8", "12345\xff", ""},
		{"too many characters", strings.Repeat("1", maxCode+1), ""},
		{"too many spaces", "123456" + strings.Repeat(" ", maxAnswer), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var buf [maxCode]byte
			if got := string(normalise(buf[:], tt.in).text); got != tt.want {
				t.Errorf("got %q; want %q", got, tt.want)
			}
		})
	}
}

func TestHasForm(t *testing.T) {
	six, eight, both, pass := Forms{Six: true}, Forms{Eight: true}, Forms{Six: true, Eight: true}, Forms{Pass: 10}
	tests := []struct {
		name   string
		forms  Forms
		answer string
		want   bool
	}{
		{"six", six, "123456", true},
		{"six, full-width", six, "１２３ ４５６", true},
		{"five", six, "12345", false},
		{"seven", both, "1234567", false},
		{"eight for six", six, "12345678", false},
		{"six for eight", eight, "123456", false},
		{"eight", both, "1234 5678", true},
		{"empty", both, "", false},
		{"OK", both, "ok", false},
		{"letter", both, "12345a", false},
		{"pass", pass, "K7MPQ-3X9DR", true},
		{"pass without digit", pass, "approved my", false},
		{"ten digits are no pass", pass, "2345678923", false},
		{"character of no pass", pass, "k7mpq3x9d1", false},
		{"no pass registered", both, "k7mpq3x9dr", false},
		{"nothing registered", Forms{}, "123456", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := Verifier{Store: formStore{forms: tt.forms}}
			if got := v.HasForm(mfa.NameOf("u"), tt.answer); got != tt.want {
				t.Errorf("got %t; want %t", got, tt.want)
			}
		})
	}
}

type formStore struct {
	Store
	forms Forms
}

func (s formStore) Forms(mfa.Name) Forms { return s.forms }

func TestPassNeverHasCodeForm(t *testing.T) {
	codes := Forms{Six: true, Eight: true}
	for range 1000 {
		pass := randomPass()
		var buf [maxCode]byte
		a := normalise(buf[:], string(pass))
		if string(a.text) != string(pass) {
			t.Fatalf("%q is normalised to %q", pass, a.text)
		}
		if codes.matches(a) || !(Forms{Pass: passLength}).matches(a) {
			t.Fatalf("%q has the form of a code, or not that of a pass", pass)
		}
	}
}

func FuzzNormalise(f *testing.F) {
	for _, s := range []string{"123456", "１２３　４５６", "K7MPQ-3X9DR", "\u202a1", "\xff", strings.Repeat("9", 60)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var buf, buf2 [maxCode]byte
		a := normalise(buf[:], s)
		if len(a.text) == 0 {
			return
		}
		if !utf8.ValidString(s) {
			t.Errorf("bad UTF-8 has a form: %q", s)
		}
		if strings.Trim(string(a.text), "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			t.Errorf("got %q", a.text)
		}
		b := normalise(buf2[:], string(a.text))
		if string(b.text) != string(a.text) || b.digits != a.digits || b.value != a.value {
			t.Errorf("not stable: %+v, then %+v", a, b)
		}
		if a.digits && (a.value < 0 || a.value > 99_999_999) {
			t.Errorf("value %d of %q", a.value, a.text)
		}
	})
}
