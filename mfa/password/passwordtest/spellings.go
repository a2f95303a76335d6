package passwordtest

import (
	"context"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/radmatch/radmatch/mfa"
)

// NearNames are the accounts of the tests of spellings, near each other. Some are
// one account to a directory, which then has them twice and lets neither in.
var NearNames = []string{
	"anna", "änna", "annä", "strasse", "straße", "STRAẞE", "a b", "ab", "ina", "İna", "ına", "Karl", "fin", "alice smith", "alice  smythe",
	"soft", "Σίσυφος", "Öztürk", "zero\u200bwidth", "ǅon", "ⅷ", "Ⓐlf", "Ꮳher", "𐐀des", "Ↄlaudia",
}

// Spellings yields ways to spell a name, always the same ones: some mean the same
// account and some another one, which a directory knows better than we do.
func Spellings(name string, n int) []string {
	r := rand.New(rand.NewPCG(1, uint64(len(name))))
	at := func(s, in string) string {
		runes := []rune(s)
		i := r.IntN(len(runes) + 1)
		return string(runes[:i]) + in + string(runes[i:])
	}
	ways := []func(string) string{
		strings.ToUpper, strings.ToLower, strings.ToTitle, norm.NFD.String, norm.NFC.String, norm.NFKC.String, norm.NFKD.String, wide,
		func(s string) string { return " " + s },
		func(s string) string { return s + "  " },
		func(s string) string { return strings.ReplaceAll(s, " ", "   ") },
		func(s string) string { return strings.ReplaceAll(s, " ", "\u00a0") },
		func(s string) string { return strings.ReplaceAll(s, " ", "\u3000") },
		func(s string) string { return at(s, "\u00ad") },
		func(s string) string { return at(s, "\u200b") },
		func(s string) string { return at(s, "\u200d") },
		func(s string) string { return at(s, "\ufeff") },
		func(s string) string { return at(s, "\ufe0f") },
		func(s string) string { return at(s, "\u2060") },
		func(s string) string { return at(s, " ") },
		func(s string) string { return at(s, "\u0301") },
		strings.NewReplacer("K", "\u212a", "k", "\u212a", "fi", "ﬁ", "s", "ſ", "σ", "ς").Replace,
		strings.NewReplacer("ss", "ß", "i", "ı").Replace,
		strings.NewReplacer("ß", "ss", "ẞ", "SS", "I", "İ", "ς", "σ").Replace,
		strings.NewReplacer("ß", "ẞ", "i", "İ", "Å", "\u212b").Replace,
	}
	list := []string{name}
	for len(list) < n {
		s := name
		for range 1 + r.IntN(3) {
			s = ways[r.IntN(len(ways))](s)
		}
		list = append(list, s)
	}
	return list
}

// wide has the full-width letters for the ASCII ones.
func wide(s string) string {
	return strings.Map(func(r rune) rune {
		if '!' <= r && r <= '~' && r != '\\' && r != '@' {
			return r - '!' + '！'
		}
		return r
	}, s)
}

// OneUser notes which key an account has, and fails where an account has two keys
// or a key two accounts.
type OneUser struct {
	Keys     map[string]mfa.NameKey // by account
	accounts map[mfa.NameKey]string
	t        testing.TB
}

// NewOneUser returns one that knows no account.
func NewOneUser(t testing.TB) *OneUser {
	return &OneUser{Keys: map[string]mfa.NameKey{}, accounts: map[mfa.NameKey]string{}, t: t}
}

// Is notes that an account, as which someone typed a name, has that name here.
func (o *OneUser) Is(account, typed string, name mfa.Name) {
	o.t.Helper()
	key := name.Key()
	if old, ok := o.Keys[account]; ok && old != key {
		o.t.Errorf("%q: %s is user %q, and was %q", typed, account, key, old)
	}
	if old, ok := o.accounts[key]; ok && old != account {
		o.t.Errorf("%q: user %q is %s, and was %s", typed, key, account, old)
	}
	o.Keys[account], o.accounts[key] = key, account
}

// Finder is a primary that is a directory.
type Finder interface {
	Find(ctx context.Context, user mfa.Name) (mfa.Identity, error)
	FindName(ctx context.Context, typed mfa.Name) (name mfa.Name, sure bool, err error)
	Check(ctx context.Context, user mfa.Name, cred mfa.Credential) (mfa.Identity, error)
}

// Spelled asks the primary for a spelling of an account, "" where it is no user's, in
// each of its ways, and reports whether it lets it in.
func (o *OneUser) Spelled(l Finder, account, typed, password, wrongPassword string) bool {
	o.t.Helper()
	ctx, sent := o.t.Context(), mfa.NameOf(typed)
	found, err := l.Find(ctx, sent)
	id, errRight := l.Check(ctx, sent, mfa.Password(password))
	name, sure, errName := l.FindName(ctx, sent)
	_, errWrong := l.Check(ctx, sent, mfa.Password(wrongPassword))
	wrong := (*mfa.UserError)(nil)
	counted := errors.As(errWrong, &wrong)
	if account == "" {
		if err == nil || errRight == nil || errName == nil || errWrong == nil {
			o.t.Errorf("%q is nobody's, and gets in as %q, %q, %q", typed, found.Name, id.Name, name)
		}
		return false
	}
	if (err == nil) != (errRight == nil) || (err == nil) != (errName == nil) || errWrong == nil || err == nil && !counted {
		o.t.Errorf("%q: Find says %v, Check %v, FindName %v, a wrong password %v", typed, err, errRight, errName, errWrong)
		return false
	}
	if err != nil {
		return false // which fails closed: how many accounts that may be, the caller says
	}
	for _, n := range []mfa.Name{found.Name, id.Name, name, wrong.User} {
		o.Is(account, typed, n)
	}
	if !sure || !id.Known {
		o.t.Errorf("%q is not sure", typed)
	}
	return true
}

// Owners asks a directory itself, by another program with these arguments, which
// entries have each of these values of an attribute.
func Owners(t testing.TB, attribute string, values []string, args ...string) [][]string {
	t.Helper()
	var lines strings.Builder
	for _, v := range values {
		for _, b := range []byte(v) {
			lines.WriteString(`\` + hex.EncodeToString([]byte{b}))
		}
		lines.WriteString("\n")
	}
	file := filepath.Join(t.TempDir(), "values")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	args = append([]string{"-x", "-o", "ldif_wrap=no"}, args...)
	out, err := exec.CommandContext(ctx, "ldapsearch", append(args, "-f", file, "("+attribute+"=%s)", "1.1")...).CombinedOutput()
	if err != nil {
		t.Fatalf("ldapsearch: %v: got %s; want no error", err, out)
	}
	answers := strings.Split(string(out), "\n# filter: ")[1:]
	if len(answers) != len(values) {
		t.Fatalf("%d answers to %d questions", len(answers), len(values))
	}
	list := make([][]string, len(values))
	for i, answer := range answers {
		for line := range strings.Lines(answer) {
			if dn, ok := strings.CutPrefix(line, "dn: "); ok {
				list[i] = append(list[i], strings.TrimSpace(dn))
			} else if strings.HasPrefix(line, "dn:: ") {
				list[i] = append(list[i], strings.TrimSpace(line))
			}
		}
	}
	return list
}
