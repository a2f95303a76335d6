package password_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

// nearNames are the accounts of the tests of spellings, near each other. Some are
// one account to a directory, which then has them twice and lets neither in.
var nearNames = []string{
	"anna", "änna", "annä", "strasse", "straße", "STRAẞE", "a b", "ab", "ina", "İna", "ına", "Karl", "fin", "alice smith", "alice  smythe",
	"soft", "Σίσυφος", "Öztürk", "zero\u200bwidth", "ǅon", "ⅷ", "Ⓐlf", "Ꮳher", "𐐀des", "Ↄlaudia",
}

// spellings yields ways to spell a name, always the same ones: some mean the same
// account and some another one, which a directory knows better than we do.
func spellings(name string, n int) []string {
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

// near is the LDIF of one account, whose DN says nothing of its name.
func near(i int, attributes ...string) string {
	text := fmt.Sprintf("dn: cn=near %d,ou=users,%s\nobjectClass: inetOrgPerson\nsn: Near\nuserPassword: %s\n",
		i, passwordtest.SlapdBase, passwordtest.SlapdPassword)
	for j := 0; j < len(attributes); j += 2 {
		text += attributes[j] + ":: " + base64.StdEncoding.EncodeToString([]byte(attributes[j+1])) + "\n"
	}
	return text + "\n"
}

// owners asks the directory itself, by another program, who has these values of an
// attribute.
func owners(t *testing.T, s *passwordtest.Slapd, attribute string, values []string) [][]string {
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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ldapsearch", "-x", "-o", "ldif_wrap=no", "-H", s.Plain, "-D", passwordtest.SlapdAdmin, "-w", passwordtest.SlapdAdminPassword,
		"-b", passwordtest.SlapdBase, "-f", file, "("+attribute+"=%s)", "1.1").CombinedOutput()
	if err != nil {
		t.Fatalf("ldapsearch: %v: %s", err, out)
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
			}
		}
	}
	return list
}

// oneUser notes which key an account has, and fails where an account has two keys
// or a key two accounts.
type oneUser struct {
	t        *testing.T
	keys     map[string]mfa.NameKey // by account
	accounts map[mfa.NameKey]string
}

func newOneUser(t *testing.T) *oneUser {
	return &oneUser{t, map[string]mfa.NameKey{}, map[mfa.NameKey]string{}}
}

func (o *oneUser) is(account, typed string, name mfa.Name) {
	o.t.Helper()
	key := name.Key()
	if old, ok := o.keys[account]; ok && old != key {
		o.t.Errorf("%q: %s is user %q, and was %q", typed, account, key, old)
	}
	if old, ok := o.accounts[key]; ok && old != account {
		o.t.Errorf("%q: user %q is %s, and was %s", typed, key, account, old)
	}
	o.keys[account], o.accounts[key] = key, account
}

// TestSpellingsLDAP: whatever spelling of a name the directory takes for an
// account's is one user, who is counted as one, and no two accounts become one.
func TestSpellingsLDAP(t *testing.T) {
	s := startSlapd(t)
	ldif := "dn: cn=default,ou=policies,dc=example,dc=org\nchangetype: modify\nreplace: pwdMaxFailure\npwdMaxFailure: 0\n\n"
	for i, name := range nearNames {
		// labeledURI is compared case by case: Anna is another one than anna.
		ldif += near(i, "uid", name, "mail", fmt.Sprintf("m%d@example.org", i), "labeledURI", strings.ReplaceAll(name, "ä", "A"), "displayName", name)
	}
	if err := s.Add(ldif); err != nil {
		t.Fatal(err)
	}
	plain := settings(s)
	plain.DefaultDomain, plain.Domains, plain.Groups = "EXAMPLE", []string{"example.org"}, "none"
	for _, c := range []struct {
		what, attribute string
		change          func(*password.LDAPSettings)
		forms           []string
		most            int // accounts that need not get in
	}{
		{"uid", "uid", func(*password.LDAPSettings) {}, []string{"%s", `example\%s`, "%s@EXAMPLE.org"}, 7},
		{"alternate", "displayName", func(c *password.LDAPSettings) { c.AlternateLoginAttribute = "displayName" }, []string{"%s"}, 7},
		{"case by case", "labeledURI", func(c *password.LDAPSettings) { c.LoginAttribute = "labeledURI" }, []string{"%s"}, len(nearNames)},
	} {
		t.Run(c.what, func(t *testing.T) {
			set := plain
			c.change(&set)
			l, users := openLDAP(t, set), newOneUser(t)
			var bare, typed []string
			for _, name := range nearNames {
				for i, s := range spellings(name, 40) {
					bare, typed = append(bare, s), append(typed, fmt.Sprintf(c.forms[i%len(c.forms)], s))
				}
			}
			for i, dns := range owners(t, s, c.attribute, bare) {
				account := "nobody"
				if len(dns) == 1 {
					account = dns[0]
				}
				spelled(t, l, users, account, typed[i], i)
			}
			if out := len(nearNames) - len(users.keys); out > c.most {
				t.Errorf("only %d accounts get in: %v", len(users.keys), users.keys)
			}
		})
	}
}

// spelled asks the primary for a spelling of an account in each of its ways.
func spelled(t *testing.T, l *password.LDAP, users *oneUser, account, typed string, i int) {
	t.Helper()
	sent := mfa.NameOf(typed)
	found, err := l.Find(t.Context(), sent)
	id, errRight := l.Check(t.Context(), sent, mfa.Password(passwordtest.SlapdPassword))
	name, sure, errName := l.FindName(t.Context(), sent)
	_, errWrong := l.Check(t.Context(), sent, mfa.Password(fmt.Sprint("wrong ", i)))
	wrong := (*mfa.UserError)(nil)
	counted := errors.As(errWrong, &wrong)
	if account == "nobody" {
		if err == nil || errRight == nil || errName == nil || errWrong == nil {
			t.Errorf("%q is nobody's, and gets in as %q, %q, %q", typed, found.Name, id.Name, name)
		}
		return
	}
	if (err == nil) != (errRight == nil) || (err == nil) != (errName == nil) || errWrong == nil || err == nil && !counted {
		t.Errorf("%q: Find says %v, Check %v, FindName %v, a wrong password %v", typed, err, errRight, errName, errWrong)
		return
	}
	if err != nil {
		return // which fails closed: how many accounts that may be, the caller says
	}
	for _, n := range []mfa.Name{found.Name, id.Name, name, wrong.User} {
		users.is(account, typed, n)
	}
	if !sure || !id.Known {
		t.Errorf("%q is not sure", typed)
	}
}

// TestHeldApart: two entries that the directory holds apart, and that have one name
// here, are not one user, whatever the second one is asked for. Who has the name in
// its form gets in, and the other one nowhere.
func TestHeldApart(t *testing.T) {
	s := startSlapd(t)
	pairs := [][2]string{{"straße", "STRAẞE"}, {"anna", "an\u200bna"}, {"alf", "Ⓐlf"}, {"x1", "x1\ufe0f"}}
	exact := [][2]string{{"bea", "Bea"}, {"kim", "KIM"}}
	ldif := ""
	for i, p := range slices.Concat(pairs, exact) {
		attribute := "uid"
		if i >= len(pairs) {
			attribute = "labeledURI"
		}
		ldif += near(2*i, attribute, p[0]) + near(2*i+1, attribute, p[1])
	}
	if err := s.Add(ldif); err != nil {
		t.Fatal(err)
	}
	for attribute, list := range map[string][][2]string{"uid": pairs, "labeledURI": exact} {
		set := settings(s)
		set.LoginAttribute, set.Groups = attribute, "none"
		l := openLDAP(t, set)
		for range 2 { // what was learned by the first does not let the second in
			for _, p := range list {
				if id, err := check(t, l, p[0], passwordtest.SlapdPassword); err != nil || !id.Name.Is(mfa.NameOf(p[0])) {
					t.Errorf("%q: got %q, %v", p[0], id.Name, err)
				}
				if id, err := check(t, l, p[1], passwordtest.SlapdPassword); err == nil {
					t.Errorf("%q gets in as %q", p[1], id.Name)
				}
				if name, _, err := l.FindNamed(t.Context(), mfa.NameOf(p[1])); err == nil {
					t.Errorf("a command finds %q as %q", p[1], name)
				}
			}
		}
	}
}

// TestSpellingTriedAgain: a spelling that the directory does not take for the name,
// and the right one just after it, with the same password.
func TestSpellingTriedAgain(t *testing.T) {
	l := openLDAP(t, settings(startSlapd(t)))
	if _, err := check(t, l, "ali\u200bce", passwordtest.SlapdPassword); !errors.Is(err, mfa.ErrRejected) {
		t.Fatalf("slapd holds these apart: %v", err)
	}
	if _, err := check(t, l, "alice", passwordtest.SlapdPassword); err != nil {
		t.Errorf("the right spelling is refused after another one: %v", err)
	}
}

// TestSpellingsFile: a users file takes names for equal by their form, and can have
// no two of one form.
func TestSpellingsFile(t *testing.T) {
	users := newOneUser(t)
	var names []string
	text := "users:\n"
	for _, name := range nearNames {
		if slices.ContainsFunc(names, func(n string) bool { return mfa.NameOf(n).Is(mfa.NameOf(name)) }) {
			continue
		}
		names = append(names, name)
		text += fmt.Sprintf("- {name: %q, password: '{NT}8846f7eaee8fb117ad06bdd830b7586c'}\n", name) // "password"
	}
	path := filepath.Join(t.TempDir(), "users.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := password.OpenFile(path, encode, password.NewGate())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		for _, typed := range spellings(name, 200) {
			sent := mfa.NameOf(typed)
			id, err := f.Check(t.Context(), sent, mfa.Password("password"))
			_, errWrong := f.Check(t.Context(), sent, mfa.Password("wrong"))
			wrong := (*mfa.UserError)(nil)
			counted := errors.As(errWrong, &wrong)
			if errWrong == nil || counted != (err == nil) {
				t.Errorf("%q: Check says %v, a wrong password %v", typed, err, errWrong)
			}
			if err != nil {
				continue // nobody's
			}
			account := id.Name.String() // the spelling of the file
			if !id.Name.Is(sent) {
				t.Errorf("%q is %q", typed, account)
			}
			users.is(account, typed, id.Name)
			users.is(account, typed, wrong.User)
		}
	}
	if len(users.keys) != len(names) {
		t.Errorf("%d of %d accounts get in", len(users.keys), len(names))
	}
}
