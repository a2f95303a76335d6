package text

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"}, {"ünï 手", "ünï 手"}, {"a\x1b[31mb", "a\ufffd[31mb"}, {"a\r\nb", "a\ufffd\ufffdb"}, {"a\u202eb", "a\ufffdb"},
		{"a\u200bb", "a\ufffdb"}, {"a\u2028b", "a\ufffdb"}, {"a\u3000b", "a\ufffdb"}, {"a\xffb", "a\ufffdb"}, {"12345678901", "123456789…"}, {"1234567890", "1234567890"},
	} {
		if got := Printable(c.in, 10); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("plain")
	f.Add("a\x1b[31m\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := Printable(s, 20)
		if n := utf8.RuneCountInString(got); n > 20 || !utf8.ValidString(got) || strings.ContainsAny(got, "\x1b\n\r\u202e\u200f") {
			t.Errorf("%q gives %q", s, got)
		}
	})
}
