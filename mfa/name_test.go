package mfa

import (
	"strings"
	"testing"
	"testing/quick"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// TestNameOf: what a directory's matching rules hold equal is one name, and what
// they hold apart stays two.
func TestNameOf(t *testing.T) {
	for _, tt := range []struct {
		what, a, b string
		same       bool
	}{
		{"capitals", "alice", "ALICE", true},
		{"a blank behind", "alice", "alice ", true},
		{"a blank before", "alice", " alice", true},
		{"other blanks", "anna lind", "\u00a0anna\u2003\tlind\u3000\n", true},
		{"several blanks", "anna lind", "anna   lind", true},
		{"a blank is one", "anna lind", "annalind", false},
		{"an accent that stands apart", "ren\u00e9", "rene\u0301", true},
		{"an accent is one", "ren\u00e9", "rene", false},
		{"full-width letters", "alice", "\uff41\uff2c\uff29\uff43\uff25", true},
		{"a full-width backslash", `corp\alice`, "corp\uff3calice", true},
		{"a ligature", "office", "o\ufb03ce", true},
		{"a soft hyphen", "alice", "ali\u00adce", true},
		{"a zero width space", "alice", "alice\u200b", true},
		{"a joiner and a mark of direction", "alice", "a\u200dli\u200ece", true},
		{"a variation selector", "alice", "alice\ufe0f", true},
		{"a byte order mark", "alice", "\ufeffalice", true},
		{"a control character", "alice", "ali\x00ce", true},
		{"sharp s", "stra\u00dfe", "strasse", false},
		{"capital sharp s", "stra\u00dfe", "STRA\u1e9eE", true},
		{"the Kelvin sign", "k", "\u212a", true},
		{"final sigma", "\u03c3", "\u03c2", false},
		{"capital sigma", "\u03c3", "\u03a3", true},
		{"dotted capital I", "i", "\u0130", false},
		{"dotless i", "i", "\u0131", false},
		{"a Cyrillic letter", "anna", "ann\u0430", false},
		{"domains", `corp\alice`, "alice", false},
		{"no text", "\xff", "\xfe", false},
	} {
		a, b := NameOf(tt.a), NameOf(tt.b)
		if a.Is(b) != tt.same || (a.Key() == b.Key()) != tt.same {
			t.Errorf("%s: %q and %q: same is %t", tt.what, tt.a, tt.b, !tt.same)
		}
		if GroupOf(tt.a).Is(GroupOf(tt.b)) != tt.same {
			t.Errorf("%s: groups %q and %q: same is %t", tt.what, tt.a, tt.b, !tt.same)
		}
	}
}

func TestNameShows(t *testing.T) {
	n := NameOf("\u00a0Anna  Lind ")
	if n.String() != "Anna  Lind" || n.Sent() != "\u00a0Anna  Lind " || n.Key().String() != "anna lind" || n.Key().Name().Key() != n.Key() {
		t.Errorf("got %q, %q, %q", n, n.Sent(), n.Key())
	}
	for spelling, want := range map[string]string{
		"Anna  Lind ": "Anna  Lind", "René": "René", "Jo\u0308rg\u00a0 Lind": "jörg lind", "Zero\u200bWidth": "zerowidth", "Al\u00adice": "alice", "a\xff": "a\xff",
	} {
		if p := NameOf(spelling).Printable(); p.String() != want || !p.Is(NameOf(spelling)) {
			t.Errorf("%q is shown as %q", spelling, p)
		}
	}
	for _, blank := range []string{"", " \t\u00a0", "\u00ad\u200b", "\x00"} {
		if n := NameOf(blank); !n.IsZero() || !n.Key().IsZero() || n.Key() != (NameKey{}) {
			t.Errorf("%q is a name", blank)
		}
	}
}

// TestNameForm: the form of a form is the form; no form has blanks around it, nor
// what separates the parts of a key; and a spelling that only normalization
// changes is the same name.
func TestNameForm(t *testing.T) {
	holds := func(s string) bool {
		k := NameOf(s).Key()
		if !utf8.ValidString(s) {
			return true // left as it is
		}
		return NameOf(k.String()).Key() == k && strings.TrimSpace(k.String()) == k.String() &&
			!strings.ContainsFunc(k.String(), unicode.IsControl) &&
			NameOf(norm.NFD.String(s)).Key() == k && NameOf(norm.NFKC.String(s)).Key() == k && NameOf(" "+s+"\u00a0").Key() == k
	}
	if err := quick.Check(holds, &quick.Config{MaxCount: 5000}); err != nil {
		t.Error(err)
	}
	step := rune(1)
	if testing.Short() {
		step = 61
	}
	for r := rune(0); r <= unicode.MaxRune; r += step {
		for _, s := range [...]string{string(r), "a" + string(r) + "b"} {
			if !holds(s) {
				t.Fatalf("%q: form %q, of that %q", s, NameOf(s).Key(), NameOf(NameOf(s).Key().String()).Key())
			}
		}
	}
}

// TestNameAllocates: the names of nearly all logins cost nothing.
func TestNameAllocates(t *testing.T) {
	for _, s := range []string{"alice", "alice.smith@example.org", "anna lind"} {
		if n := testing.AllocsPerRun(100, func() { NameOf(s) }); n != 0 {
			t.Errorf("%q: %v allocations; want 0", s, n)
		}
	}
}
