package ldap

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
	"github.com/radmatch/radmatch/mfa/password/winbind"
)

// TestActiveDirectory runs all that needs a real domain, in one.
func TestActiveDirectory(t *testing.T) {
	t.Parallel()
	passwordtest.InDomain(t, func(t *testing.T, d *passwordtest.Domain) {
		t.Run("sign in", func(t *testing.T) { testDomainSignIn(t, d) })
		t.Run("refused", func(t *testing.T) { testDomainRefused(t, d) })
		t.Run("names", func(t *testing.T) { testDomainNames(t, d) })
		t.Run("spellings", func(t *testing.T) { testDomainSpellings(t, d) })
		t.Run("connect", func(t *testing.T) { testDomainConnect(t, d) })
		t.Run("ntlm", func(t *testing.T) { testDomainNTLM(t, d) })
		t.Run("three protocols", func(t *testing.T) { testDomainThreeProtocols(t, d) })
		t.Run("ntlm down", func(t *testing.T) { testDomainNTLMDown(t, d) })
	})
}

// domainLDAP opens the primary that docs/active-directory.md describes.
func domainLDAP(t *testing.T, d *passwordtest.Domain, change func(*Settings)) *Primary {
	t.Helper()
	s := Settings{
		URL: "ldaps://" + d.Host, CAFile: d.CAFile, BaseDN: d.BaseDN, Flavor: "auto",
		BindDN: passwordtest.ServiceUser + "@" + d.Realm, BindPassword: mfa.Password(d.Password),
		DefaultDomain: d.NetBIOS, Domains: []string{d.Realm},
		Groups: "auto", NestedGroups: true, Reply: []Reply{{Attribute: "Filter-Id", From: "description"}},
		NTLMAuth: "/usr/bin/ntlm_auth", NTLMHelpers: 2,
		ConnectTimeout: 20 * time.Second, Timeout: 20 * time.Second, DeadTime: 30 * time.Second,
		Connections: 4, Waiting: 64,
	}
	if change != nil {
		change(&s)
	}
	s.CheckSettings(func(key, rule, got string) { t.Errorf("%s: %s; got %q", key, rule, got) })
	l, err := Open(&s, Parts{
		Resolve: func(path string) string { return path },
		Encode: func(name, value string) (mfa.Attribute, error) {
			return mfa.Attribute{Type: 11, Value: []byte(value)}, nil
		},
		CheckReply: func([]mfa.Attribute) error { return nil }, Logger: zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// checkBoth checks a password by MS-CHAPv2 and by PAP, in this order because the
// domain is not asked about a response made from what was just wrong by PAP.
func checkBoth(t *testing.T, l *Primary, user, password string, each func(protocol string, id mfa.Identity, err error)) {
	t.Helper()
	response := passwordtest.Response(t, responseName(mfa.NameOf(user), mfa.MSCHAPv2{}), password)
	id, err := l.Check(t.Context(), mfa.NameOf(user), response)
	each("MS-CHAPv2", id, err)
	id, err = l.Check(t.Context(), mfa.NameOf(user), mfa.Password(password))
	each("PAP", id, err)
}

// testDomainSignIn: the conformance suite, over LDAPS and StartTLS.
func testDomainSignIn(t *testing.T, d *passwordtest.Domain) {
	want := mfa.Identity{
		Name: mfa.NameOf(passwordtest.Alice), Known: true,
		Groups:     mfa.GroupsOf("Domain Users", "Users", passwordtest.Everybody, passwordtest.Staff, passwordtest.VPNUsers),
		Attributes: []mfa.Attribute{{Type: 11, Value: []byte("from AD")}},
	}
	for name, change := range map[string]func(*Settings){
		"ldaps":    nil,
		"starttls": func(s *Settings) { s.URL = "ldap://" + d.Host },
	} {
		t.Run(name, func(t *testing.T) {
			passwordtest.Run(t, func(t *testing.T) passwordtest.Subject {
				return passwordtest.Subject{
					Checker: domainLDAP(t, d, change), User: passwordtest.Alice, Password: d.Password, Want: want,
					Aliases: []string{"ALICE", `AD\alice`, `ad\Alice`, "alice@ad.example.org", "Alice@AD.Example.Org"},
					Unknown: "nobody", MSCHAPv2: true,
				}
			})
		})
	}
	l := domainLDAP(t, d, nil)
	id, err := l.Check(t.Context(), mfa.NameOf(passwordtest.Bob), mfa.Password(d.Password))
	if !slices.ContainsFunc(id.Groups, mfa.GroupOf(passwordtest.Engineers).Is) || !slices.ContainsFunc(id.Groups, mfa.GroupOf(passwordtest.VPNUsers).Is) || slices.ContainsFunc(id.Groups, mfa.GroupOf(passwordtest.Staff).Is) {
		t.Errorf("bob, whose primary group is %s: groups %q, %v", passwordtest.Engineers, id.Groups, err)
	}
	found, err := l.Find(t.Context(), mfa.NameOf(passwordtest.Bob))
	if err != nil || !reflect.DeepEqual(found, id) {
		t.Errorf("Find gives %+v, %v; Check %+v", found, err, id)
	}
	if id, err = l.Find(t.Context(), mfa.NameOf(passwordtest.Disabled)); err != nil || !id.Disabled {
		t.Errorf("Find of a disabled user: got %+v, %v; want no error, Disabled true", id, err)
	}
}

// testDomainRefused: each state of an account has its reason, by both protocols
// the same one, and only after a right password.
func testDomainRefused(t *testing.T, d *passwordtest.Domain) {
	l := domainLDAP(t, d, nil)
	for _, c := range []struct {
		user   string
		reason mfa.Reason
	}{
		{passwordtest.Disabled, mfa.ReasonAccountDisabled},
		{passwordtest.Expired, mfa.ReasonAccountExpired},
		{passwordtest.MustChange, mfa.ReasonMustChange},
		{passwordtest.PasswordOld, mfa.ReasonPasswordExpired},
		{passwordtest.NoHours, mfa.ReasonLogonHours},
		{passwordtest.NoWorkstation, mfa.ReasonLogonWorkstation},
	} {
		checkBoth(t, l, c.user, d.Password, func(protocol string, id mfa.Identity, err error) {
			refused(t, c.user+" by "+protocol, err, c.reason, true)
		})
		checkBoth(t, l, c.user, d.Password+"x", func(protocol string, id mfa.Identity, err error) {
			if account := (*mfa.AccountError)(nil); !errors.Is(err, mfa.ErrRejected) || errors.As(err, &account) {
				t.Errorf("%s by %s, wrong password: %v", c.user, protocol, err)
			}
		})
	}
}

// testDomainNames: who is meant by a name, and by what name the user is known.
func testDomainNames(t *testing.T, d *passwordtest.Domain) {
	plain := domainLDAP(t, d, func(s *Settings) { s.Domains = append(s.Domains, "example.com") })
	mail := domainLDAP(t, d, func(s *Settings) {
		s.Domains, s.AlternateLoginAttribute = append(s.Domains, "example.com"), "mail"
	})
	number := domainLDAP(t, d, func(s *Settings) { s.LoginAttribute, s.CanonicalDomain = "employeeID", "ad.example.org" })
	dialin := domainLDAP(t, d, func(s *Settings) {
		s.Filter = "(&(objectCategory=person)(objectClass=user)(!(msNPAllowDialin=FALSE)))"
	})
	for _, c := range []struct {
		name string
		l    *Primary
		user string
		want string // empty: no such user
	}{
		{"account of a logon name that differs", plain, passwordtest.Carol, passwordtest.Carol},
		{"logon name", plain, passwordtest.CarolUPN, passwordtest.Carol},
		{"neither", plain, "carol.smith", ""},
		{"not ASCII", plain, passwordtest.Joerg, passwordtest.Joerg},
		{"not ASCII, with a domain", plain, `AD\` + passwordtest.Joerg, passwordtest.Joerg},
		{"mail is no name unless it is said", plain, "carol@example.com", ""},
		{"mail", mail, "carol@example.com", "carol@example.com"},
		{"account, where the name is the mail", mail, passwordtest.Carol, "carol@example.com"},
		{"logon name, where the name is the mail", mail, passwordtest.CarolUPN, "carol@example.com"},
		{"number", number, "4711", "4711@ad.example.org"},
		{"no dial-in", plain, passwordtest.NoDialin, passwordtest.NoDialin},
		{"no dial-in, with a filter", dialin, passwordtest.NoDialin, ""},
		{"dial-in is not said, with a filter", dialin, passwordtest.Alice, passwordtest.Alice},
		{"a domain that is not listed", plain, `OTHER\alice`, ""},
		{"a logon name of a domain that is not listed", plain, "alice@other.example.org", ""},
		{"a computer", plain, "VPN1$", ""},
		{"a star", plain, "ali*", ""},
		{"a filter", plain, "alice)(objectClass=*", ""},
	} {
		checkBoth(t, c.l, c.user, d.Password, func(protocol string, id mfa.Identity, err error) {
			t.Helper()
			if id.Name.String() != c.want || c.want == "" && !errors.Is(err, mfa.ErrRejected) {
				t.Errorf("%s by %s: got %q, %v; want %q", c.name, protocol, id.Name, err, c.want)
			}
		})
	}
}

// testDomainSpellings: what TestSpellingsLDAP is for OpenLDAP, by both protocols.
func testDomainSpellings(t *testing.T, d *passwordtest.Domain) {
	d.AddNear(t)
	admin := append(d.Admin(t), "-b", d.BaseDN)
	for _, c := range []struct {
		what, attribute string
		name            func(i int) string // of the account with index i
		asked           string             // of the directory, for a spelling
		forms           []string
	}{
		{"account", "sAMAccountName", func(i int) string { return passwordtest.NearNames[i] }, "%s", []string{"%s", `ad\%s`, "%s@Ad.Example.Org"}},
		{"logon name", "userPrincipalName", func(i int) string { return fmt.Sprintf("near%d", i) }, "%s@ad.example.org", []string{"%s@ad.example.org"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			l, users := domainLDAP(t, d, func(s *Settings) { s.Groups, s.Reply = "none", nil }), passwordtest.NewOneUser(t)
			var asked, typed []string
			for n := range passwordtest.NearNames {
				for i, s := range passwordtest.Spellings(c.name(n), 12) {
					asked, typed = append(asked, fmt.Sprintf(c.asked, s)), append(typed, fmt.Sprintf(c.forms[i%len(c.forms)], s))
				}
			}
			accepted := 0
			for i, dns := range passwordtest.Owners(t, c.attribute, asked, admin...) {
				account := ""
				if len(dns) == 1 {
					account = dns[0]
					accepted++
				}
				in := users.Spelled(l, account, typed[i], d.Password, fmt.Sprint("wrong ", i))
				sent := mfa.NameOf(typed[i])
				id, err := l.Check(t.Context(), sent, passwordtest.Response(t, responseName(sent, mfa.MSCHAPv2{}), d.Password))
				if err == nil {
					users.Is(account, typed[i], id.Name)
				}
				if in != (err == nil) {
					t.Errorf("%q gets in by PAP: %t; by MS-CHAPv2: %v", typed[i], in, err)
				}
			}
			t.Logf("%d of %d spellings mean an account; %d of %d accounts get in", accepted, len(typed), len(users.Keys), len(passwordtest.NearNames))
			if len(users.Keys) < 15 {
				t.Errorf("only %d accounts get in: got %v; want at least 15 Keys", len(users.Keys), users.Keys)
			}
		})
	}
}

// testDomainConnect: what `check --connect` says.
func testDomainConnect(t *testing.T, d *passwordtest.Domain) {
	for _, c := range []struct {
		name   string
		change func(*Settings)
		step   string // empty: all works
	}{
		{"all works", nil, ""},
		{"a user that is not there", func(s *Settings) { s.BindDN = "nobody@" + d.Realm }, "bind"},
		{"the domain is another one", func(s *Settings) { s.BaseDN = "DC=other,DC=example,DC=org" }, "search"},
		{"the certificate is another host's", func(s *Settings) { s.ServerName = "dc2.ad.example.org" }, "tls"},
		{"the authority is unknown", func(s *Settings) { s.CAFile = "" }, "tls"},
		{"no bind_dn", func(s *Settings) { s.BindDN, s.BindPassword = "", "" }, "search"},
		{"a helper that is none", func(s *Settings) { s.NTLMAuth = "/bin/false" }, "helper"},
	} {
		err := domainLDAP(t, d, c.change).Connect(t.Context())
		failed := (*mfa.ConnectError)(nil)
		switch {
		case c.step == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.step != "" && (!errors.As(err, &failed) || failed.Step != c.step || failed.Hint == ""):
			t.Errorf("%s: got %v, want step %s", c.name, err, c.step)
		}
	}
}

func testDomainNTLM(t *testing.T, d *passwordtest.Domain) {
	w, err := winbind.New("/usr/bin/ntlm_auth", 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	check := func(domain, user, password string) error {
		keys, err := w.Check(t.Context(), domain, user, user, passwordtest.Response(t, user, password))
		if (keys == nil) != (err != nil) || keys != nil && *keys != passwordtest.Keys(user, password) {
			t.Errorf("%s: wrong keys", user)
		}
		return err
	}
	for _, c := range []struct {
		user   string
		reason mfa.Reason // empty: right
		proven bool
	}{
		{passwordtest.Alice, "", false},
		{passwordtest.Carol, "", false},
		{passwordtest.Disabled, mfa.ReasonAccountDisabled, true},
		{passwordtest.Expired, mfa.ReasonAccountExpired, true},
		{passwordtest.MustChange, mfa.ReasonMustChange, true},
		{passwordtest.PasswordOld, mfa.ReasonPasswordExpired, true},
		{passwordtest.NoHours, mfa.ReasonLogonHours, true},
		{passwordtest.NoWorkstation, mfa.ReasonLogonWorkstation, true},
		{passwordtest.Protected, mfa.ReasonAccountRestricted, false},
	} {
		err := check(d.Realm, c.user, d.Password)
		if c.reason == "" && err != nil {
			t.Errorf("%s: %v", c.user, err)
		}
		if c.reason != "" {
			refused(t, c.user, err, c.reason, c.proven)
		}
		var account *mfa.AccountError
		if err := check(d.Realm, c.user, d.Password+"x"); !errors.Is(err, mfa.ErrRejected) || errors.As(err, &account) && account.Proven {
			t.Errorf("%s, wrong password: %v", c.user, err)
		}
	}
	if err := check(d.NetBIOS, passwordtest.Alice, d.Password); err != nil {
		t.Errorf("short name of the domain: got error %v; want none", err)
	}
	for _, domain := range []string{"OTHER", "other.example.org"} {
		if err := check(domain, passwordtest.Alice, d.Password); !errors.Is(err, mfa.ErrRejected) {
			t.Errorf("alice of %s, which is unknown: got %v; want mfa.ErrRejected", domain, err)
		}
	}
	if err := check(d.Realm, "nobody", d.Password); !errors.Is(err, mfa.ErrRejected) {
		t.Errorf("nobody: got %v; want mfa.ErrRejected", err)
	}
	if err := w.Connect(t.Context()); err != nil {
		t.Errorf("connect: got error %v; want none", err)
	}
	testDomainNTLMLock(t, d, w, check)
}

// testDomainNTLMLock: one response that is repeated is one wrong password, as
// many wrong ones as the domain allows lock the account.
func testDomainNTLMLock(t *testing.T, d *passwordtest.Domain, w *winbind.Checker, check func(domain, user, password string) error) {
	repeated := passwordtest.Response(t, passwordtest.Target, "wrong")
	for range 3 * passwordtest.LockoutThreshold {
		if _, err := w.Check(t.Context(), d.Realm, passwordtest.Target, passwordtest.Target, repeated); !errors.Is(err, mfa.ErrRejected) {
			t.Errorf("repeated wrong response: got %v; want mfa.ErrRejected", err)
		}
	}
	if err := check(d.Realm, passwordtest.Target, d.Password); err != nil {
		t.Errorf("a NAS that repeats itself has locked the account: got error %v; want none", err)
	}
	for i := range passwordtest.LockoutThreshold {
		if err := check(d.Realm, passwordtest.Locked, fmt.Sprint("wrong", i)); !errors.Is(err, mfa.ErrRejected) {
			t.Errorf("wrong password: got %v; want mfa.ErrRejected", err)
		}
	}
	refused(t, "locked", check(d.Realm, passwordtest.Locked, d.Password), mfa.ReasonAccountLocked, false)
	_, err := domainLDAP(t, d, nil).Check(t.Context(), mfa.NameOf(passwordtest.Locked), mfa.Password(d.Password))
	refused(t, "locked, by PAP", err, mfa.ReasonAccountLocked, false)
}

// testDomainThreeProtocols: a FortiGate tries PAP, MS-CHAPv2 and CHAP with what was
// typed once. That is one wrong password to the domain.
func testDomainThreeProtocols(t *testing.T, d *passwordtest.Domain) {
	l := domainLDAP(t, d, nil)
	for i := range passwordtest.LockoutThreshold - 1 {
		wrong := fmt.Sprint("mistyped", i)
		for _, cred := range []mfa.Credential{mfa.Password(wrong), passwordtest.Response(t, passwordtest.Target, wrong), mfa.Unsupported{What: "CHAP"}} {
			if _, err := l.Check(t.Context(), mfa.NameOf(passwordtest.Target), cred); err == nil {
				t.Errorf("%T of a wrong password was accepted; want an error", cred)
			}
		}
	}
	for _, cred := range []mfa.Credential{mfa.Password(d.Password), passwordtest.Response(t, passwordtest.Target, d.Password)} {
		if _, err := l.Check(t.Context(), mfa.NameOf(passwordtest.Target), cred); err != nil {
			t.Errorf("%T of the right password after %d wrong ones: got error %v; want none", cred, passwordtest.LockoutThreshold-1, err)
		}
	}
}

// testDomainNTLMDown: where no answer was had, none is made up, and it ends when
// the domain is there again.
func testDomainNTLMDown(t *testing.T, d *passwordtest.Domain) {
	w, err := winbind.New("/usr/bin/ntlm_auth", 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	l := domainLDAP(t, d, func(s *Settings) { s.ConnectTimeout, s.Timeout = time.Second, time.Second })
	check := func() error {
		_, err := w.Check(t.Context(), d.Realm, passwordtest.Alice, passwordtest.Alice, passwordtest.Response(t, passwordtest.Alice, d.Password))
		return err
	}
	noAnswer := func(what, want string) {
		t.Helper()
		if err := w.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("connect, %s: %v", what, err)
		}
		if err := check(); err == nil || errors.Is(err, mfa.ErrRejected) || errors.Is(err, mfa.ErrUnsupported) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", what, err, want)
		}
	}
	timeout := w.Timeout
	w.Timeout = time.Second
	goOn := d.PauseDC(t)
	noAnswer("domain controller hangs", "no answer in time")
	if _, err := l.Check(t.Context(), mfa.NameOf(passwordtest.Alice), mfa.Password(d.Password)); err == nil || errors.Is(err, mfa.ErrRejected) {
		t.Errorf("domain controller hangs, PAP: got %v", err)
	}
	goOn()
	w.Timeout = timeout
	d.KillDC(t)
	for strings.Contains(fmt.Sprint(check()), "not started again before") { // after the helpers that hung
		time.Sleep(20 * time.Millisecond)
	}
	noAnswer("no domain controller", "No logon servers are currently available")
	d.KillWinbind(t)
	noAnswer("no winbindd", "Reading winbind reply failed")
	d.StartDC(t)
	d.StartWinbind(t)
	if err := check(); err != nil {
		t.Errorf("all is there again: got error %v; want none", err)
	}
	if _, err := l.Check(t.Context(), mfa.NameOf(passwordtest.Alice), mfa.Password(d.Password)); err != nil {
		t.Errorf("all is there again, PAP: got error %v; want none", err)
	}
}

// refused wants an AccountError.
func refused(t *testing.T, what string, err error, reason mfa.Reason, proven bool) {
	t.Helper()
	var account *mfa.AccountError
	if !errors.As(err, &account) || account.Reason != reason || account.Proven != proven {
		t.Errorf("%s: got %v, want %s, proven %v", what, err, reason, proven)
	}
}
