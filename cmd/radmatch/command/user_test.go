package command

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/report"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/otp"
	"github.com/radmatch/radmatch/otp/otptest"
)

// verify tries a code as the server would.
func (s *shop) verify(user, code string) (err error) {
	s.t.Helper()
	s.server(func(ctx context.Context, st *store.Store) {
		v := &otp.Verifier{Store: st}
		err = otptest.Login(ctx, v, st, code, mfa.Event{ID: "login", Time: time.Now(), Kind: mfa.EventLogin, Origin: mfa.Origin{User: mfa.NameOf(user)},
			Plan: mfa.PlanOTP, Reason: mfa.ReasonTAP, Outcome: mfa.Accept})
	})
	return err
}

func TestTAP(t *testing.T) {
	s := newShop(t)
	pass := func(out string) string { return regexp.MustCompile(`(?m)^[a-z2-9]{5}-[a-z2-9]{5}$`).FindString(out) }
	first := pass(s.ok("tap", "issue", "anna"))
	for range 2 {
		if err := s.verify("anna", first); err != nil {
			t.Errorf("a pass for any number of logins: got error %v; want none", err)
		}
	}
	second := pass(s.ok("tap", "issue", "ANNA", "--once", "--lifetime", "10m"))
	if first == "" || second == "" || first == second {
		t.Fatalf("passes: %q, %q", first, second)
	}
	if err := s.verify("anna", first); !errors.Is(err, mfa.ErrRejected) {
		t.Errorf("the replaced pass: got %v; want rejected", err)
	}
	if out := s.ok("user", "show", "anna"); !strings.Contains(out, "for one login until") || strings.Contains(out, second) {
		t.Errorf("user show:\n%s", out)
	}
	if err := s.verify("anna", second); err != nil {
		t.Errorf("a pass for one login: got error %v; want none", err)
	}
	if err := s.verify("anna", second); !errors.Is(err, mfa.ErrCodeUsed) {
		t.Errorf("a used pass: got %v; want used", err)
	}
	if out := s.ok("user", "show", "anna"); !regexp.MustCompile(`pass +\w+ used`).MatchString(out) {
		t.Errorf("user show:\n%s; want pass +\\w+ used in it", out)
	}
	out, errs, code := s.run("", "tap", "revoke", "anna")
	if code != console.ExitOK || out != "Revoked the pass of anna\n" || !strings.Contains(errs, "require_user_match") {
		t.Errorf("revoke: got exit %d, %q, %q", code, out, errs)
	}
	s.fails(console.ExitFailure, "has no pass", "tap", "revoke", "anna")
	for _, lifetime := range []string{"9m", "721h", "-1h", "0"} {
		s.fails(console.ExitUsage, "lifetime of a pass must be", "tap", "issue", "anna", "--lifetime", lifetime)
	}
	s.fails(console.ExitUsage, "user is empty", "tap", "issue", "")
}

func TestMethodDefault(t *testing.T) {
	s := newShop(t)
	s.ok("totp", "add", "anna", "--no-qr")
	if out, errs, code := s.run("", "method", "default", "anna", "push"); code != console.ExitOK || !strings.Contains(errs, "has no device yet") {
		t.Errorf("push: got exit %d, %q, %q; want a note", code, out, errs)
	}
	if out := s.ok("user", "show", "anna"); !regexp.MustCompile(`default +otp \(has no device\)`).MatchString(out) {
		t.Errorf("user show:\n%s; want default +otp \\(has no device\\) in it", out)
	}
	if _, errs, code := s.run("", "method", "default", "Anna", "otp"); code != console.ExitOK || errs != "" {
		t.Errorf("otp: got exit %d, %q", code, errs)
	}
	if out := s.ok("user", "show", "anna"); !regexp.MustCompile(`default +otp\n`).MatchString(out) {
		t.Errorf("user show:\n%s; want default +otp\\n in it", out)
	}
	s.fails(console.ExitUsage, "must be push or otp", "method", "default", "anna", "sms")
	s.fails(console.ExitUsage, "an argument is missing", "method", "default", "anna")
	if got := s.audit("anna"); !slices.Contains(got, "default method: otp") {
		t.Errorf("trail: got %q; want \"default method: otp\"", got)
	}
	s.fails(console.ExitUsage, "user is empty", "method", "default", "", "otp")
}

func TestUserBlock(t *testing.T) {
	s := newShop(t)
	out, errs, code := s.run("", "user", "block", "anna", "--literal")
	if code != console.ExitOK || out != "Blocked anna\n" || !strings.Contains(errs, "no method registered") {
		t.Errorf("block: got exit %d, %q, %q; want a note", code, out, errs)
	}
	if out := s.ok("user", "show", "Anna"); !regexp.MustCompile(`blocked +yes, \S+ \S+ by \S+\n`).MatchString(out) || !regexp.MustCompile(`methods +none\n`).MatchString(out) {
		t.Errorf("user show:\n%s; want blocked +yes, \\S+ \\S+ by \\S+\\n in it, methods +none\\n in it", out)
	}
	s.server(func(ctx context.Context, st *store.Store) { // "this was not me"
		err := st.Record(ctx, mfa.Event{ID: "login", Time: time.Now(), Kind: mfa.EventLogin, Origin: mfa.Origin{User: mfa.NameOf("anna"), Group: "edge"},
			Plan: mfa.PlanPush, Reason: mfa.ReasonNotMe, Outcome: mfa.Reject})
		if err != nil {
			t.Fatal(err)
		}
	})
	if out := s.ok("user", "show", "anna"); !regexp.MustCompile(`no push at +edge`).MatchString(out) {
		t.Errorf("user show:\n%s; want no push at +edge in it", out)
	}
	before := time.Now()
	if out := s.ok("user", "unblock", "ANNA"); out != "Unblocked anna\n" {
		t.Errorf("unblock: got %q", out)
	}
	s.server(func(ctx context.Context, st *store.Store) {
		u, err := st.User(ctx, mfa.NameOf("anna"))
		if err != nil || u.Blocked || len(u.PushBlocked) > 0 || u.Unblocked.Before(before.Truncate(time.Second)) {
			t.Errorf("after unblock: got %+v, error %v", u, err)
		}
	})
	for _, c := range []string{"show", "block", "unblock"} {
		s.fails(console.ExitUsage, "the name is empty", "user", c, "")
		s.fails(console.ExitUsage, "an argument is missing", "user", c)
	}
}

func TestDescribePass(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		pass otp.Token
		want string
	}{
		{"valid", otp.Token{Expires: now.Add(1)}, "for any number of logins until "},
		{"one login", otp.Token{Expires: now.Add(1), Once: true}, "for one login until "},
		{"used", otp.Token{Expires: now.Add(1), Once: true, Next: 1}, "used"},
		{"expired", otp.Token{Expires: now}, "expired "},
		{"early", otp.Token{NotBefore: now.Add(1), Expires: now.Add(2)}, "for any number of logins from "},
	} {
		if got := report.PassState(&tt.pass, now); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: got %q; want %q", tt.name, got, tt.want)
		}
	}
}
