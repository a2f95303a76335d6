package ldap_test

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/ldap"
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
func settings(s *passwordtest.Slapd) ldap.Settings {
	return ldap.Settings{
		URL: s.TLS, CAFile: s.CA, BaseDN: passwordtest.SlapdBase, Flavor: "auto",
		BindDN: "cn=reader," + passwordtest.SlapdBase, BindPassword: "reader secret",
		Groups: "auto", GroupBaseDN: "ou=groups," + passwordtest.SlapdBase, NestedGroups: true,
		ConnectTimeout: 20 * time.Second, Timeout: 20 * time.Second, DeadTime: 30 * time.Second,
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

func openLDAP(t testing.TB, s ldap.Settings) *ldap.Primary {
	t.Helper()
	s.CheckSettings(func(key, rule, got string) { t.Errorf("%s: %s; got %q", key, rule, got) })
	l, err := ldap.Open(&s, ldap.Parts{
		Resolve: func(path string) string { return path }, Encode: encode,
		CheckReply: func([]mfa.Attribute) error { return nil }, Logger: zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func check(t testing.TB, l *ldap.Primary, user, pass string) (mfa.Identity, error) {
	t.Helper()
	return l.Check(t.Context(), mfa.NameOf(user), mfa.Password(pass))
}

// TestLDAPConformance: over TLS from the start and with StartTLS, and in each
// way to find groups.
func TestLDAPConformance(t *testing.T) {
	s := startSlapd(t)
	nested := []string{"everyone", "posix", "staff", "unique", "vpn-users"}
	for _, c := range []struct {
		name   string
		change func(*ldap.Settings)
		groups []string
	}{
		{"ldaps", func(*ldap.Settings) {}, nested},
		{"starttls", func(c *ldap.Settings) { c.URL = s.Plain }, nested},
		{"plain", func(c *ldap.Settings) { c.URL, c.InsecurePlaintext = s.Plain, true }, nested},
		{"member_of", func(c *ldap.Settings) { c.Groups = "member_of" }, []string{"everyone", "staff", "vpn-users"}},
		{"not nested", func(c *ldap.Settings) { c.NestedGroups = false }, []string{"posix", "staff", "unique"}},
		{"member_of, not nested", func(c *ldap.Settings) { c.Groups, c.NestedGroups = "member_of", false }, []string{"staff"}},
		{"all below base_dn", func(c *ldap.Settings) { c.GroupBaseDN = "" }, []string{"elsewhere", "everyone", "posix", "staff", "unique", "vpn-users"}},
		{"no groups", func(c *ldap.Settings) { c.Groups = "none" }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			passwordtest.Run(t, func(t *testing.T) passwordtest.Subject {
				set := settings(s)
				set.DefaultDomain, set.Domains = "EXAMPLE", []string{"example.org"}
				set.Reply = []ldap.Reply{{Attribute: "Filter-Id", From: "departmentNumber"}}
				c.change(&set)
				return passwordtest.Subject{
					Checker: openLDAP(t, set), User: "alice", Password: passwordtest.SlapdPassword, Unknown: "mallory",
					Aliases: []string{"ALICE", "al", `EXAMPLE\alice`, `example.org\Alice`, "alice@example.org", "alice@EXAMPLE"},
					Want: mfa.Identity{Name: mfa.NameOf("alice"), Known: true, Groups: mfa.GroupsOf(c.groups...),
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
	l := openLDAP(t, settings(s))
	until(t, "the password of expired is older than pwdMaxAge", func() bool {
		_, err := check(t, l, "expired", passwordtest.SlapdPassword)
		return err != nil
	})
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

// until polls for what another process does in its own time.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// TestLDAPNames: which names mean which user, and what they are called.
func TestLDAPNames(t *testing.T) {
	s := startSlapd(t)
	err := s.Add(`dn: uid=carol,ou=users,dc=example,dc=org
objectClass: inetOrgPerson
cn: Carol
sn: Example
uid: carol
mail: carol@example.org
mail: c@example.org

dn: uid=dave,ou=users,dc=example,dc=org
objectClass: inetOrgPerson
cn: Dave
sn: Example
uid: dave
mail: bob@example.org
userPassword: right horse

dn: uid=eve,ou=users,dc=example,dc=org
objectClass: inetOrgPerson
cn: Eve
sn: Example
uid: eve
mail: bob@example.org
userPassword: right horse
`)
	if err != nil {
		t.Fatal(err)
	}
	alternate := func(c *ldap.Settings) { c.AlternateLoginAttribute = "mail" }
	canonical := func(c *ldap.Settings) { c.CanonicalDomain = "corp" }
	filter := func(c *ldap.Settings) { c.Filter = "(!(uid=Bob))" }
	plain := func(*ldap.Settings) {}
	for _, c := range []struct {
		what, user string
		change     func(*ldap.Settings)
		want       string // empty: an error
		rejected   bool
	}{
		{"the spelling is the directory's", "BOB", plain, "Bob", false},
		{"a second value of uid is another spelling", "AL", plain, "alice", false},
		{"a filter", "bob", filter, "", true},
		{"a domain of its own", `corp\bob`, canonical, "", true},
		{"qualified", "bob", canonical, "Bob@corp", false},
		{"by uid, called by mail", "alice", alternate, "alice@example.org", false},
		{"by mail", "alice@example.org", alternate, "alice@example.org", false},
		{"no mail", "bob", alternate, "", false},
		{"two mails", "carol", alternate, "", false},
		{"the mail of another, too", "dave", alternate, "", true},
		{"a mail of two", "bob@example.org", alternate, "", true},
		{"base_dn elsewhere", "alice", func(c *ldap.Settings) { c.BaseDN = "ou=groups," + passwordtest.SlapdBase }, "", true},
		{"not shown to the service account", "alice", func(c *ldap.Settings) { c.BaseDN = "ou=hidden," + passwordtest.SlapdBase }, "", false},
	} {
		set := settings(s)
		set.Domains = []string{"example.org"}
		c.change(&set)
		l := openLDAP(t, set)
		id, err := l.Find(t.Context(), mfa.NameOf(c.user))
		if id.Name.String() != c.want || (err == nil) != (c.want != "") || errors.Is(err, mfa.ErrRejected) != c.rejected {
			t.Errorf("%s: %q: got %q, %v", c.what, c.user, id.Name, err)
		}
	}
	l := openLDAP(t, settings(s))
	l.Taken = func(name mfa.Name) bool { return name.Is(mfa.NameOf("alice")) }
	if id, err := check(t, l, "alice", passwordtest.SlapdPassword); err == nil || errors.Is(err, mfa.ErrRejected) {
		t.Errorf("a name of another primary: got %q, %v", id.Name, err)
	}
}

// TestLDAPReply: a value that cannot be sent is a refusal: it may be what keeps
// the user out of a network. One that is not there is none. Connect sees it before
// the user does.
func TestLDAPReply(t *testing.T) {
	s := startSlapd(t)
	var many strings.Builder
	for i := range 201 { // as many attributes have no room
		fmt.Fprintf(&many, "description: %d\n", i)
	}
	err := s.Add("dn: uid=Bob,ou=users,dc=example,dc=org\nchangetype: modify\nadd: description\ndescription: short\ndescription: " + strings.Repeat("x", 254) + "\n\n" +
		"dn: uid=twin,ou=users,dc=example,dc=org\nchangetype: modify\nadd: description\n" + many.String())
	if err != nil {
		t.Fatal(err)
	}
	set := settings(s)
	set.Reply, set.Filter = []ldap.Reply{{Attribute: "Filter-Id", From: "description"}}, "(!(cn=Other Twin))"
	l := openLDAP(t, set)
	for _, user := range []string{"bob", "twin"} {
		_, err := check(t, l, user, passwordtest.SlapdPassword)
		if account := (*mfa.AccountError)(nil); !errors.As(err, &account) || account.Reason != mfa.ReasonReplyInvalid || !account.Proven {
			t.Errorf("%s: got %v", user, err)
		}
		if _, err := check(t, l, user, "wrong horse"); !errors.Is(err, mfa.ErrRejected) || errors.As(err, new(*mfa.AccountError)) {
			t.Errorf("%s, a wrong password: got %v", user, err)
		}
	}
	failed := (*mfa.ConnectError)(nil)
	if err := l.Connect(t.Context()); !errors.As(err, &failed) || failed.Step != "reply" || !strings.Contains(err.Error(), "uid=") {
		t.Errorf("Connect says %v", err)
	}
	if name, _, err := l.FindName(t.Context(), mfa.NameOf("bob")); err != nil || name.String() != "Bob" {
		t.Errorf("what an operator does for such a user: got %q, %v; want no error, \"Bob\"", name, err)
	}
	if id, err := check(t, l, "alice", passwordtest.SlapdPassword); err != nil || id.Attributes != nil {
		t.Errorf("a user without the attribute: got %+v, %v; want no error, no Attributes", id.Attributes, err)
	}
}

// TestLDAPOneBind: what a NAS repeats is one wrong password to the directory.
func TestLDAPOneBind(t *testing.T) {
	s := startSlapd(t)
	l := openLDAP(t, settings(s))
	for range 2 {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := check(t, l, "alice", "wrong"); !errors.Is(err, mfa.ErrRejected) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	check(t, l, "alice", "also wrong")
	if n, err := s.Failures("alice"); n != 2 || err != nil {
		t.Errorf("the directory has counted %d wrong passwords, want 2; %v", n, err)
	}
}

// TestLDAPCrowd: users who sign in side by side get their own answers, and no
// search is made with the rights of a user: those see nothing.
func TestLDAPCrowd(t *testing.T) {
	s := startSlapd(t)
	l := openLDAP(t, settings(s))
	names := map[string]string{"alice": "alice", "bob": "Bob"}
	var wg sync.WaitGroup
	for user, want := range names {
		for n := range 60 {
			wg.Go(func() {
				pass := passwordtest.SlapdPassword
				if n%3 == 0 {
					pass = fmt.Sprintf("wrong %d", n)
				}
				id, err := check(t, l, user, pass)
				if n%3 == 0 && !errors.Is(err, mfa.ErrRejected) || n%3 != 0 && (err != nil || id.Name.String() != want) {
					t.Errorf("%s, %q: got %q, %v", user, pass, id.Name, err)
				}
			})
		}
	}
	wg.Wait()
}

// TestLDAPFindName: what a name that was typed, or that is registered, is called in
// the directory.
func TestLDAPFindName(t *testing.T) {
	s := startSlapd(t)
	plain, domain, mail := settings(s), settings(s), settings(s)
	plain.DefaultDomain, plain.Domains = "EXAMPLE", []string{"example.org"}
	domain.DefaultDomain, domain.CanonicalDomain = "EXAMPLE", "corp.example.org"
	mail.AlternateLoginAttribute = "mail"
	for _, tt := range []struct {
		settings    ldap.Settings
		name        string
		typed, call string // what FindName and FindNamed return; empty: no user
	}{
		{plain, "alice", "alice", "alice"},
		{plain, "AL", "alice", ""},
		{plain, "bob", "Bob", "Bob"},
		{plain, `example\ALICE`, "alice", ""},
		{plain, "alice@example.org", "alice", ""},
		{plain, "alice@example.net", "", ""},
		{plain, "twin", "", ""},
		{plain, "mallory", "", ""},
		{plain, "*", "", ""},
		{domain, "alice", "alice@corp.example.org", ""},
		{domain, "alice@Corp.example.org", "", "alice@corp.example.org"},
		{domain, "al@corp.example.org", "", ""},
		{domain, "alice@example.org", "", ""},
		{mail, "alice", "alice@example.org", ""},
		{mail, "alice@example.org", "", "alice@example.org"},
	} {
		l := openLDAP(t, tt.settings)
		for method, find := range map[string]func() (mfa.Name, bool, error){
			"FindName":  func() (mfa.Name, bool, error) { return l.FindName(t.Context(), mfa.NameOf(tt.name)) },
			"FindNamed": func() (mfa.Name, bool, error) { return l.FindNamed(t.Context(), mfa.NameOf(tt.name)) },
		} {
			want := tt.typed
			if method == "FindNamed" {
				want = tt.call
			}
			got, sure, err := find()
			if want == "" && !errors.Is(err, mfa.ErrRejected) || want != "" && (err != nil || got.String() != want || !sure) {
				t.Errorf("%s(%q): got %q, %t, %v; want %q", method, tt.name, got, sure, err, want)
			}
		}
	}
}

// TestLDAPAliases: an attribute that the configuration calls otherwise than the
// directory is found all the same, or is an error.
func TestLDAPAliases(t *testing.T) {
	s := startSlapd(t)
	for _, tt := range []struct {
		name, login, alternate, from string
		want                         string // of Filter-Id; empty: no answer
		connect                      string // part of what Connect says
	}{
		{"alias", "", "", "surname", "Example", ""},
		{"capitals", "", "", "SURNAME", "Example", ""},
		{"OID", "", "", "2.5.4.4", "Example", ""},
		{"alias of what is asked anyway", "", "", "userid", "alice", ""},
		{"login", "userid", "", "sn", "Example", ""},
		{"alternate", "", "rfc822Mailbox", "sn", "Example", ""},
		{"several attributes of one name", "", "", "name", "", "name that in the configuration"},
		{"no such attribute", "", "", "surnam", "-", "reply[0].from: the directory has no attribute surnam"},
		{"no such login attribute", "usrid", "", "sn", "", "no user is found"},
	} {
		set := settings(s)
		set.LoginAttribute, set.AlternateLoginAttribute = tt.login, tt.alternate
		set.Reply = []ldap.Reply{{Attribute: "Filter-Id", From: tt.from}}
		l := openLDAP(t, set)
		id, err := l.Find(t.Context(), mfa.NameOf("alice"))
		switch {
		case tt.want == "" && err == nil:
			t.Errorf("%s: got %+v, want no answer", tt.name, id)
		case tt.want == "-" && (err != nil || len(id.Attributes) > 0):
			t.Errorf("%s: got %+v, %v", tt.name, id, err)
		case tt.want != "" && tt.want != "-" && (err != nil || len(id.Attributes) == 0 || string(id.Attributes[0].Value) != tt.want):
			t.Errorf("%s: got %+v, %v; want Filter-Id %q", tt.name, id, err, tt.want)
		}
		if err := l.Connect(t.Context()); (err == nil) != (tt.connect == "") || err != nil && !strings.Contains(err.Error(), tt.connect) {
			t.Errorf("%s: Connect says %v, want %q", tt.name, err, tt.connect)
		}
	}
}

// TestLDAPGroupsByDN: a list may name the DN of a group, which a user cannot make a
// second time; an entry that is only called like it is another group.
func TestLDAPGroupsByDN(t *testing.T) {
	s := startSlapd(t)
	const real, planted = "cn=staff,ou=groups,dc=example,dc=org", "ou=users,dc=example,dc=org"
	err := s.Add("dn: cn=admins,ou=groups,dc=example,dc=org\nchangetype: add\nobjectClass: groupOfNames\ncn: admins\nmember: uid=Bob,ou=users,dc=example,dc=org\n\n" +
		"dn: cn=admins," + planted + "\nchangetype: add\nobjectClass: groupOfNames\ncn: admins\nmember: uid=alice,ou=users,dc=example,dc=org\n\n" +
		`dn: cn=cn\3dadmins\2cou\3dgroups\2cdc\3dexample\2cdc\3dorg,` + planted + "\nchangetype: add\nobjectClass: groupOfNames\ncn: cn=admins,ou=groups,dc=example,dc=org\nmember: uid=alice,ou=users,dc=example,dc=org\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"search", "member_of"} {
		set := settings(s)
		set.Groups, set.GroupBaseDN = mode, ""
		l := openLDAP(t, set)
		in := func(user, group string) bool {
			id, err := l.Find(t.Context(), mfa.NameOf(user))
			if err != nil {
				t.Fatal(err)
			}
			return slices.ContainsFunc(id.Groups, mfa.GroupOf(group).Is)
		}
		for _, tt := range []struct {
			user, group string
			want        bool
		}{
			{"alice", "admins", true}, // by name, the planted one is as good
			{"alice", "cn=admins,ou=groups,dc=example,dc=org", false},
			{"alice", "cn=admins," + planted, true},
			{"alice", "CN=Staff, OU=Groups, DC=example, DC=org", true},
			{"bob", "cn=admins,ou=groups,dc=example,dc=org", true},
			{"bob", "cn=admins," + planted, false},
			{"bob", real, false},
		} {
			if got := in(tt.user, tt.group); got != tt.want {
				t.Errorf("%s: %s in %s: %t", mode, tt.user, tt.group, got)
			}
		}
	}
	l := openLDAP(t, settings(s))
	for group, want := range map[string]bool{
		"staff": true, "STAFF": true, real: true, "cn=Staff,ou=Groups,dc=example,dc=org": true, "posix": true,
		"stuff": false, "alice": false, "Alice Example": false, "cn=admins," + planted: false, "cn=nobody,ou=groups,dc=example,dc=org": false,
		"uid=alice,ou=users,dc=example,dc=org": false, "*": false,
	} {
		if got, err := l.HasGroup(t.Context(), mfa.GroupOf(group)); got != want || err != nil {
			t.Errorf("HasGroup(%s): %t, %v", group, got, err)
		}
	}
	if names, err := l.GroupNames(t.Context()); err != nil || !slices.Contains(names, "staff") || slices.Contains(names, "Alice Example") {
		t.Errorf("groups: got %q, %v; want no error, \"staff\", no \"Alice Example\"", names, err)
	}
}
