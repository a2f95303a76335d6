package password

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

// TestActiveDirectory runs all that needs a real domain, in one.
func TestActiveDirectory(t *testing.T) {
	t.Parallel()
	passwordtest.InDomain(t, func(t *testing.T, d *passwordtest.Domain) {
		t.Run("ntlm", func(t *testing.T) { testDomainNTLM(t, d) })
		t.Run("ntlm down", func(t *testing.T) { testDomainNTLMDown(t, d) })
	})
}

func testDomainNTLM(t *testing.T, d *passwordtest.Domain) {
	n, err := newNTLM("/usr/bin/ntlm_auth", 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.close)
	check := func(domain, user, password string) error {
		keys, err := n.check(t.Context(), domain, user, user, passwordtest.Response(t, user, password))
		hash, _ := newNTHash(password)
		if (keys == nil) != (err != nil) || keys != nil && *keys != *hash.keys(user) {
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
		t.Errorf("short name of the domain: %v", err)
	}
	for _, domain := range []string{"OTHER", "other.example.org"} {
		if err := check(domain, passwordtest.Alice, d.Password); !errors.Is(err, mfa.ErrRejected) {
			t.Errorf("alice of %s, whom nobody knows: %v", domain, err)
		}
	}
	if err := check(d.Realm, "nobody", d.Password); !errors.Is(err, mfa.ErrRejected) {
		t.Errorf("nobody: %v", err)
	}
	if err := n.connect(t.Context()); err != nil {
		t.Errorf("connect: %v", err)
	}
	testDomainNTLMLock(t, d, n, check)
}

// testDomainNTLMLock: one response that is repeated is one wrong password, as
// many wrong ones as the domain allows lock the account.
func testDomainNTLMLock(t *testing.T, d *passwordtest.Domain, n *ntlm, check func(domain, user, password string) error) {
	repeated := passwordtest.Response(t, passwordtest.Target, "wrong")
	for range 3 * passwordtest.LockoutThreshold {
		if _, err := n.check(t.Context(), d.Realm, passwordtest.Target, passwordtest.Target, repeated); !errors.Is(err, mfa.ErrRejected) {
			t.Errorf("repeated wrong response: %v", err)
		}
	}
	if err := check(d.Realm, passwordtest.Target, d.Password); err != nil {
		t.Errorf("a NAS that repeats itself has locked the account: %v", err)
	}
	for i := range passwordtest.LockoutThreshold {
		if err := check(d.Realm, passwordtest.Locked, fmt.Sprint("wrong", i)); !errors.Is(err, mfa.ErrRejected) {
			t.Errorf("wrong password: %v", err)
		}
	}
	refused(t, "locked", check(d.Realm, passwordtest.Locked, d.Password), mfa.ReasonAccountLocked, false)
}

// testDomainNTLMDown: where no answer was had, none is made up, and it ends when
// the domain is there again.
func testDomainNTLMDown(t *testing.T, d *passwordtest.Domain) {
	n, err := newNTLM("/usr/bin/ntlm_auth", 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.close)
	check := func() error {
		_, err := n.check(t.Context(), d.Realm, passwordtest.Alice, passwordtest.Alice, passwordtest.Response(t, passwordtest.Alice, d.Password))
		return err
	}
	noAnswer := func(what, want string) {
		t.Helper()
		if err := n.connect(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("connect, %s: %v", what, err)
		}
		if err := check(); err == nil || errors.Is(err, mfa.ErrRejected) || errors.Is(err, mfa.ErrUnsupported) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", what, err, want)
		}
	}
	d.KillDC(t)
	noAnswer("no domain controller", "No logon servers are currently available")
	d.KillWinbind(t)
	noAnswer("no winbindd", "Reading winbind reply failed")
	d.StartDC(t)
	d.StartWinbind(t)
	if err := check(); err != nil {
		t.Errorf("all is there again: %v", err)
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
