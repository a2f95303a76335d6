package password_test

import (
	"errors"
	"os"
	"reflect"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

// startSlapd starts a directory for one test.
func startSlapd(t testing.TB) *passwordtest.Slapd {
	t.Helper()
	s, err := passwordtest.NewSlapd(t.TempDir())
	if passwordtest.IsMissing(err) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// settings are those of the file with nothing but what must be there.
func settings(s *passwordtest.Slapd) password.LDAPSettings {
	return password.LDAPSettings{
		URL: s.TLS, CAFile: s.CA, BaseDN: passwordtest.SlapdBase, Flavor: "auto",
		BindDN: "cn=reader," + passwordtest.SlapdBase, BindPassword: "reader secret",
		Groups: "auto", GroupBaseDN: "ou=groups," + passwordtest.SlapdBase, NestedGroups: true,
		ConnectTimeout: 3 * time.Second, Timeout: 5 * time.Second, DeadTime: 30 * time.Second,
		Connections: 4, Waiting: 64,
	}
}

// encode is enough of a dictionary for these tests.
func encode(name, value string) (mfa.Attribute, error) {
	if name != "Filter-Id" || len(value) > 253 {
		return mfa.Attribute{}, errors.New("must be Filter-Id, of at most 253 octets")
	}
	return mfa.Attribute{Type: 11, Value: []byte(value)}, nil
}

func openLDAP(t testing.TB, s password.LDAPSettings) *password.LDAP {
	t.Helper()
	s.CheckSettings(func(key, rule, got string) { t.Errorf("%s: %s; got %q", key, rule, got) })
	l, err := password.OpenLDAP(&s, password.LDAPParts{
		Resolve: func(path string) string { return path }, Encode: encode,
		CheckReply: func([]mfa.Attribute) error { return nil }, Logger: zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func check(t testing.TB, l *password.LDAP, user, pass string) (mfa.Identity, error) {
	t.Helper()
	return l.Check(t.Context(), user, mfa.Password(pass))
}

// TestLDAPConformance: over TLS from the start and with StartTLS, and in each
// way to find groups.
func TestLDAPConformance(t *testing.T) {
	s := startSlapd(t)
	nested := []string{"everyone", "posix", "staff", "unique", "vpn-users"}
	for _, c := range []struct {
		name   string
		change func(*password.LDAPSettings)
		groups []string
	}{
		{"ldaps", func(*password.LDAPSettings) {}, nested},
		{"starttls", func(c *password.LDAPSettings) { c.URL = s.Plain }, nested},
		{"plain", func(c *password.LDAPSettings) { c.URL, c.InsecurePlaintext = s.Plain, true }, nested},
		{"member_of", func(c *password.LDAPSettings) { c.Groups = "member_of" }, []string{"everyone", "staff", "vpn-users"}},
		{"not nested", func(c *password.LDAPSettings) { c.NestedGroups = false }, []string{"posix", "staff", "unique"}},
		{"member_of, not nested", func(c *password.LDAPSettings) { c.Groups, c.NestedGroups = "member_of", false }, []string{"staff"}},
		{"all below base_dn", func(c *password.LDAPSettings) { c.GroupBaseDN = "" }, []string{"elsewhere", "everyone", "posix", "staff", "unique", "vpn-users"}},
		{"no groups", func(c *password.LDAPSettings) { c.Groups = "none" }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			passwordtest.Run(t, func(t *testing.T) passwordtest.Subject {
				set := settings(s)
				set.DefaultDomain, set.Domains = "EXAMPLE", []string{"example.org"}
				set.Reply = []password.LDAPReply{{Attribute: "Filter-Id", From: "departmentNumber"}}
				c.change(&set)
				return passwordtest.Subject{
					Checker: openLDAP(t, set), User: "alice", Password: passwordtest.SlapdPassword, Unknown: "mallory",
					Aliases: []string{"ALICE", "al", `EXAMPLE\alice`, `example.org\Alice`, "alice@example.org", "alice@EXAMPLE"},
					Want: mfa.Identity{Name: "alice", Known: true, Groups: c.groups,
						Attributes: []mfa.Attribute{{Type: 11, Value: []byte("sales")}}},
				}
			})
		})
	}
}

// TestLDAPRefusals: what the directory says of an account, and what only counts
// as no answer.
func TestLDAPRefusals(t *testing.T) {
	s := startSlapd(t)
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(3 * time.Second))) // expired: pwdMaxAge counts seconds
	l := openLDAP(t, settings(s))
	for _, c := range []struct {
		user, password string
		reason         mfa.Reason // empty: plain rejection
		proven         bool
	}{
		{"alice", "wrong", "", false},
		{"nobody", passwordtest.SlapdPassword, "", false},
		{"nopassword", passwordtest.SlapdPassword, "", false},
		{"twin", passwordtest.SlapdPassword, "", false},
		{"*", passwordtest.SlapdPassword, "", false},
		{"alice)(uid=bob", passwordtest.SlapdPassword, "", false},
		{"a*", passwordtest.SlapdPassword, "", false},
		{"alice\x00", passwordtest.SlapdPassword, "", false},
		{`OTHER\alice`, passwordtest.SlapdPassword, "", false},
		{"alice@other.org", passwordtest.SlapdPassword, "", false},
		{`EXAMPLE\OTHER\alice`, passwordtest.SlapdPassword, "", false},
		{"@example.org", passwordtest.SlapdPassword, "", false},
		{"locked", passwordtest.SlapdPassword, mfa.ReasonAccountLocked, false},
		{"locked", "wrong", mfa.ReasonAccountLocked, false},
		{"reset", passwordtest.SlapdPassword, mfa.ReasonMustChange, true},
		{"reset", "wrong", "", false},
		{"expired", passwordtest.SlapdPassword, mfa.ReasonPasswordExpired, true},
		{"expired", "wrong", "", false},
	} {
		id, err := check(t, l, c.user, c.password)
		account := (*mfa.AccountError)(nil)
		switch errors.As(err, &account); {
		case !errors.Is(err, mfa.ErrRejected) || !reflect.DeepEqual(id, mfa.Identity{}):
			t.Errorf("%q, %q: got %v, %v; want a rejection", c.user, c.password, id, err)
		case c.reason == "" && account != nil, c.reason != "" && (account == nil || account.Reason != c.reason || account.Proven != c.proven):
			t.Errorf("%q, %q: got %v, want reason %q, proven %t", c.user, c.password, err, c.reason, c.proven)
		}
	}
}
