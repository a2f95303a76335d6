package ldap_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/ldap"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

// near is the LDIF of one account, whose DN says nothing of its name.
func near(i int, attributes ...string) string {
	text := fmt.Sprintf("dn: cn=near %d,ou=users,%s\nobjectClass: inetOrgPerson\nsn: Near\nuserPassword: %s\n",
		i, passwordtest.SlapdBase, passwordtest.SlapdPassword)
	for j := 0; j < len(attributes); j += 2 {
		text += attributes[j] + ":: " + base64.StdEncoding.EncodeToString([]byte(attributes[j+1])) + "\n"
	}
	return text + "\n"
}

// TestSpellingsLDAP: whatever spelling of a name the directory takes for an
// account's is one user, who is counted as one, and no two accounts become one.
func TestSpellingsLDAP(t *testing.T) {
	t.Parallel() // beside TestActiveDirectory, which waits for Samba
	s := startSlapd(t)
	ldif := "dn: cn=default,ou=policies,dc=example,dc=org\nchangetype: modify\nreplace: pwdMaxFailure\npwdMaxFailure: 0\n\n"
	for i, name := range passwordtest.NearNames {
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
		change          func(*ldap.Settings)
		forms           []string
		most            int // accounts that need not get in
	}{
		{"uid", "uid", func(*ldap.Settings) {}, []string{"%s", `example\%s`, "%s@EXAMPLE.org"}, 7},
		{"alternate", "displayName", func(c *ldap.Settings) { c.AlternateLoginAttribute = "displayName" }, []string{"%s"}, 7},
		{"case by case", "labeledURI", func(c *ldap.Settings) { c.LoginAttribute = "labeledURI" }, []string{"%s"}, len(passwordtest.NearNames)},
	} {
		t.Run(c.what, func(t *testing.T) {
			set := plain
			c.change(&set)
			l, users := openLDAP(t, set), passwordtest.NewOneUser(t)
			var bare, typed []string
			for _, name := range passwordtest.NearNames {
				for i, s := range passwordtest.Spellings(name, 40) {
					bare, typed = append(bare, s), append(typed, fmt.Sprintf(c.forms[i%len(c.forms)], s))
				}
			}
			for i, dns := range passwordtest.Owners(t, c.attribute, bare, "-H", s.Plain, "-D", passwordtest.SlapdAdmin, "-w", passwordtest.SlapdAdminPassword, "-b", passwordtest.SlapdBase) {
				account := ""
				if len(dns) == 1 {
					account = dns[0]
				}
				users.Spelled(l, account, typed[i], passwordtest.SlapdPassword, fmt.Sprint("wrong ", i))
			}
			if out := len(passwordtest.NearNames) - len(users.Keys); out > c.most {
				t.Errorf("only %d accounts get in: %v", len(users.Keys), users.Keys)
			}
		})
	}
}

// TestHeldApart: two entries that the directory keeps apart, and that have one name
// here, are not one user, whatever the second one is asked for. The user whose name is in
// this form gets in, and the other one nowhere.
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
					t.Errorf("%q gets in as %q; want an error", p[1], id.Name)
				}
				if name, _, err := l.FindNamed(t.Context(), mfa.NameOf(p[1])); err == nil {
					t.Errorf("a command finds %q as %q; want an error", p[1], name)
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
		t.Fatalf("slapd holds these apart: got %v; want mfa.ErrRejected", err)
	}
	if _, err := check(t, l, "alice", passwordtest.SlapdPassword); err != nil {
		t.Errorf("the right spelling is refused after another one: got error %v; want none", err)
	}
}
