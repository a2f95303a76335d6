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

func TestForLog(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"}, {"ünï 手", "ünï 手"}, {"a\x1b[31mb", `a\x1b[31mb`}, {"a\r\nb", `a\r\nb`}, {"a\u202eb", `a\u202eb`}, {"a\u3000b", "a\u3000b"},
		{strings.Repeat("x", 128), strings.Repeat("x", 128)}, {strings.Repeat("ü", 130), strings.Repeat("ü", 128) + "…"},
	} {
		if got := ForLog(c.in); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		in         string
		most       int
		cut, short string
	}{
		{"plain", 5, "plain", "plain"}, {"plain", 4, "plai", "plai…"}, {"aü", 2, "a", "a…"}, {"aü", 3, "aü", "aü"},
		{"手手", 5, "手", "手…"}, {"a", 0, "", "…"}, {"a", -1, "", "…"}, {"a\x80\x80\x80\x80\x80", 5, "a\x80\x80\x80\x80", "a\x80\x80\x80\x80…"},
	} {
		if got := Cut(c.in, c.most); got != c.cut {
			t.Errorf("%q in %d: got %q, want %q", c.in, c.most, got, c.cut)
		}
		if got := Short(c.in, c.most); got != c.short {
			t.Errorf("%q in %d, marked: got %q, want %q", c.in, c.most, got, c.short)
		}
	}
}

func TestSplitLogin(t *testing.T) {
	for _, c := range []struct {
		name, bare, domain string
		upn, has           bool
		mschap             string
	}{
		{"alice", "alice", "", false, false, "alice"},
		{`CORP\alice`, "alice", "CORP", false, true, "alice"},
		{"alice@example.org", "alice", "example.org", true, true, "alice@example.org"},
		{"alice@home@example.org", "alice@home", "example.org", true, true, "alice@home@example.org"},
		{`CORP\alice@example.org`, "alice@example.org", "CORP", false, true, "alice@example.org"},
		{`A\B\alice`, `B\alice`, "A", false, true, "alice"},
		{`\alice`, "alice", "", false, true, "alice"},
		{"alice@", "alice", "", true, true, "alice@"},
		{"", "", "", false, false, ""},
	} {
		want := LoginName{Full: c.name, Bare: c.bare, Domain: c.domain, UPN: c.upn}
		if got := SplitLogin(c.name); got != want || HasDomain(c.name) != c.has {
			t.Errorf("%q: got %+v, has a domain: %t; want %+v, %t", c.name, got, HasDomain(c.name), want, c.has)
		}
		if got := WithoutNTDomain(c.name); got != c.mschap {
			t.Errorf("%q without the domain of MS-CHAPv2: got %q, want %q", c.name, got, c.mschap)
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
