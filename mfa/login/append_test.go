package login

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

// static is a password and an answer as OpenVPN sends them.
func static(password, answer string) string {
	b64 := base64.StdEncoding.EncodeToString
	return "SCRV1:" + b64([]byte(password)) + ":" + b64([]byte(answer))
}

// TestPart: what the primary sees of what was typed, and what is left as a code.
// "six" has six-digit codes, "none" has none.
func TestPart(t *testing.T) {
	const suffix, delimiter, scrv1 = mfa.AppendSuffix, mfa.AppendDelimiter, "scrv1"
	tests := []struct {
		style          mfa.AppendStyle
		user, typed    string
		password, code string
	}{
		{mfa.AppendOff, "six", "hunter,123456", "hunter,123456", ""},
		{mfa.AppendOff, "six", static("hunter", "123456"), static("hunter", "123456"), ""},
		{"", "six", "hunter123456", "hunter123456", ""},

		{delimiter, "six", "hunter,123456", "hunter", "123456"},
		{delimiter, "six", "a,b,123456", "a,b", "123456"},
		{delimiter, "six", "a,111111,123456", "a,111111", "123456"},
		{delimiter, "six", "a,b", "a,b", ""},
		{delimiter, "six", "hunter", "hunter", ""},
		{delimiter, "six", "hunter,", "hunter,", ""},
		{delimiter, "six", "hunter,12345", "hunter,12345", ""},
		{delimiter, "six", "hunter123456", "hunter123456", ""},
		{delimiter, "six", "hunter,PUSH", "hunter", ""},
		{delimiter, "six", ",123456", "", "123456"},
		{delimiter, "none", "hunter,123456", "hunter,123456", ""},
		{delimiter, "none", "hunter,push", "hunter", ""},
		{delimiter, "none", "hunter,push,", "hunter,push,", ""},

		{suffix, "six", "hunter123456", "hunter", "123456"},
		{suffix, "six", "hunter99123456", "hunter99", "123456"},
		{suffix, "six", "hunter", "hunter", ""},
		{suffix, "six", "12345", "12345", ""},
		{suffix, "six", "123456", "", "123456"},
		{suffix, "six", "hunter١٢٣٤٥٦", "hunter١٢٣٤٥٦", ""},
		{suffix, "six", "hunter123456,push", "hunter123456", ""},
		{suffix, "none", "hunter123456", "hunter123456", ""},
		{suffix, "both", "hunter12345678", "hunter", "12345678"},
		{suffix, "both", "hunter123456", "hunter", "123456"},

		{scrv1, "six", static("hunter,1", "123456"), "hunter,1", "123456"},
		{scrv1, "none", static("hunter", "yes"), "hunter", "yes"},
		{scrv1, "six", static("hunter", ""), "hunter", ""},
		{scrv1, "six", static("hunter", "push"), "hunter", ""},
		{scrv1, "six", static("", "123456"), "", "123456"},
		{scrv1, "six", "hunter", "hunter", ""},
		{scrv1, "six", "scrv1:aGk=:aGk=", "scrv1:aGk=:aGk=", ""},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s %s %s", tt.style, tt.user, tt.typed), func(t *testing.T) {
			e := &Engine{Codes: forms{"six": {6}, "both": {6, 8}}}
			c := &mfa.Client{Append: tt.style, AppendDelimiter: ",", Primary: &primary{}, Abilities: (&primary{}).Abilities(), StaticChallenge: tt.style == scrv1}
			cred, code, err := e.part(t.Context(), &mfa.Request{Client: c, User: mfa.NameOf(tt.user), Cred: mfa.Password(tt.typed)})
			if got, ok := cred.(mfa.Password); err != nil || !ok || string(got) != tt.password || code != tt.code {
				t.Errorf("got %q %q %v, want %q %q", string(got), code, err, tt.password, tt.code)
			}
		})
	}
}

// forms is how long the codes of each user are.
type forms map[string][]int

func (f forms) HasForm(who mfa.Name, answer string) bool {
	user := who.Sent()
	return slices.Contains(f[user], len(answer)) && strings.Trim(answer, "0123456789") == ""
}

func (forms) CheckCode(context.Context, mfa.Name, string) (mfa.Use, error) {
	return mfa.Use{}, mfa.ErrRejected
}

// malformed is what begins as OpenVPN's static challenge and is none.
var malformed = []string{
	"SCRV1:", "SCRV1::", "SCRV1:aGk=", "SCRV1:aGk=:", ":SCRV1", "SCRV1:aGk=:aGk=:", "SCRV1:aGk:aGk=", "SCRV1:aGl=:aGk=",
	"SCRV1:aGk=\n:aGk=", "SCRV1:aGk=: aGk=", "SCRV1:AA==:aGk=", "SCRV1:aGk=:/w==", "SCRV1:_-8=:aGk=", "SCRV1:aGk=:123456",
}

func TestMalformedStatic(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.client.StaticChallenge = true
		for _, typed := range malformed {
			q := r.request("bob")
			q.Cred = mfa.Password(typed)
			switch typed {
			case "SCRV1::", ":SCRV1", "SCRV1:aGk=:":
				continue // an empty password, none of it, an empty answer
			}
			r.send(q).want(mfa.Reject, mfa.ReasonUnsupported)
			time.Sleep(maxRejectDelay)
		}
		if r.primary.calls != 0 {
			t.Errorf("the primary saw %q; want calls 0", r.primary.seen)
		}
	})
}

func FuzzStaticChallenge(f *testing.F) {
	for _, s := range malformed {
		f.Add(s)
	}
	f.Add(static("hunter", "123456"))
	f.Fuzz(func(t *testing.T, s string) {
		password, answer, err := parseStatic(staticPrefix + s)
		if err == nil && (staticPrefix+s != static(password, answer) || !utf8.ValidString(password+answer)) {
			t.Errorf("%q was read as %q and %q", s, password, answer)
		}
		if err != nil && (password != "" || answer != "") {
			t.Errorf("%q: %v, and %q %q", s, err, password, answer)
		}
	})
}

// appends makes the client one that cannot prompt and takes codes with the password.
func (r *rig) appends(style mfa.AppendStyle) {
	r.client.Append, r.client.AppendDelimiter, r.client.Prompts = style, ",", false
}

// sendTyped sends a request with this as its password.
func (r *rig) sendTyped(user, typed string) *answer {
	q := r.request(user)
	q.Cred = mfa.Password(typed)
	return r.send(q)
}

func TestAppended(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"right": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendDelimiter)
			if d := r.sendTyped("bob", "right,123456").want(mfa.Accept, mfa.ReasonDefaultOTP); len(d.Identity.Attributes) != 1 {
				t.Errorf("attributes: got %v; want 1 Attributes", d.Identity.Attributes)
			}
			if ev := r.journal.last(t); ev.Plan != mfa.PlanOTP || ev.Method != "totp" || ev.Step != 42 {
				t.Errorf("event: got %+v; want Plan mfa.PlanOTP, Method \"totp\", Step 42", ev)
			}
			if !slices.Equal(r.primary.seen, []string{"right"}) {
				t.Errorf("the primary saw %q; want only \"right\"", r.primary.seen)
			}
		},
		"wrong, where the client cannot prompt": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendSuffix)
			r.sendTyped("bob", "right000000").want(mfa.Reject, mfa.ReasonWrongCode)
			if ev := r.journal.last(t); ev.Tries != 1 || r.primary.calls != 1 || r.Pending.Len() != 0 {
				t.Errorf("event: %+v; %d passwords checked; want Tries 1, calls 1, Len 0", ev, r.primary.calls)
			}
			if w := r.Limits.codes.m[mfa.NameOf("bob").Key()]; w == nil || len(w.times) != 1 {
				t.Error("got the wrong code not counted; want one count")
			}
			r.sendTyped("bob", "right123456").want(mfa.Accept, "")
		},
		"wrong, where the client prompts": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendSuffix)
			r.client.Prompts = true
			a := r.sendTyped("bob", "right000000")
			if d := a.want(mfa.Challenge, mfa.ReasonDefaultOTP); d.Message != messageWrongCode || d.State == "" {
				t.Errorf("challenge: %+v", d)
			}
			a = r.sendAnswer(a, "000001")
			r.sendAnswer(a, "000002").want(mfa.Reject, mfa.ReasonWrongCode)
			if ev := r.journal.last(t); ev.Tries != 3 {
				t.Errorf("event: got %+v; want Tries 3", ev)
			}
		},
		"wrong, then right by the challenge": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendSuffix)
			r.client.Prompts = true
			r.sendAnswer(r.sendTyped("bob", "right000000"), "123456").want(mfa.Accept, "")
			if ev := r.journal.last(t); ev.Tries != 1 || r.primary.calls != 1 {
				t.Errorf("event: got %+v; want Tries 1, calls 1", ev)
			}
		},
		"none, where the client prompts": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendDelimiter)
			r.client.Prompts = true
			r.sendAnswer(r.sendTyped("bob", "right"), "123456").want(mfa.Accept, "")
		},
		"none, where the client cannot prompt": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendDelimiter)
			r.sendTyped("bob", "right").want(mfa.Reject, mfa.ReasonOTPUnsupported)
			r.sendTyped("bob", "right,push").want(mfa.Reject, mfa.ReasonOTPUnsupported)
		},
		"a used code": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendDelimiter)
			r.client.Prompts = true
			r.sendTyped("bob", "right,123456").want(mfa.Accept, "")
			r.sendTyped("bob", "right,123456").want(mfa.Reject, mfa.ReasonCodeUsed)
		},
		"a wrong password": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendDelimiter)
			r.sendTyped("bob", "wrong,123456").want(mfa.Reject, mfa.ReasonWrongPassword)
			if r.codes.tries() != 0 || r.primary.calls != 1 {
				t.Errorf("got %d codes examined, %d passwords; want tries 0, calls 1", r.codes.tries(), r.primary.calls)
			}
		},
		"no password": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendSuffix)
			r.sendTyped("bob", "123456").want(mfa.Reject, mfa.ReasonEmptyPassword)
			if r.primary.calls != 0 {
				t.Errorf("the primary saw %q; want calls 0", r.primary.seen)
			}
		},
		"a code in place of a push": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendDelimiter)
			r.sendTyped("alice", "right,123456").want(mfa.Accept, mfa.ReasonAppendedCode)
			if ev := r.journal.last(t); ev.Plan != mfa.PlanOTP || ev.Method != "totp" {
				t.Errorf("event: got %+v; want Plan mfa.PlanOTP, Method \"totp\"", ev)
			}
			r.prompted(0)
		},
		"a wrong code in place of a push sends no prompt": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendDelimiter)
			r.sendTyped("alice", "right,000000").want(mfa.Reject, mfa.ReasonWrongCode)
			r.prompted(0)
			if n := r.Limits.fatigue.m.Len(); n != 0 {
				t.Error("got it counted as a prompt; want no count")
			}
		},
		"push": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendDelimiter)
			a := r.sendTyped("alice", "right,push")
			r.prompted(1).decides(nil)
			a.want(mfa.Accept, mfa.ReasonApproveDeny)
		},
		"push does not change a plan of otp": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendDelimiter)
			r.client.Prompts, r.client.Override = true, true
			r.users.set("alice", func(u *mfa.User) { u.Codes = 1 })
			r.sendTyped("alice", "right,push").want(mfa.Challenge, mfa.ReasonOverrideOTP)
			r.prompted(0)
		},
		"a pass": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendDelimiter)
			r.users.set("alice", func(u *mfa.User) { u.Pass, u.HasPass = true, true })
			r.sendTyped("alice", "right,123456").want(mfa.Accept, mfa.ReasonTAP)
			a := r.sendTyped("alice", "right") // carries no code: line 5 is not for it
			r.prompted(1).decides(nil)
			a.want(mfa.Accept, mfa.ReasonApproveDeny)
		},
		"an exempt user's code is not used up": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendDelimiter)
			r.client.ExemptClient = true
			r.sendTyped("bob", "right,123456").want(mfa.Accept, mfa.ReasonExemptClient)
			if r.codes.tries() != 0 {
				t.Error("got the code examined; want it not examined")
			}
		},
		"an answer of no form, by static challenge": func(t *testing.T, r *rig) {
			r.client.StaticChallenge, r.client.Prompts = true, false
			a := r.sendTyped("alice", static("right", "ok"))
			r.prompted(1).decides(nil)
			a.want(mfa.Accept, mfa.ReasonApproveDeny)
			r.sendTyped("bob", static("right", "ok")).want(mfa.Reject, mfa.ReasonWrongCode)
			r.sendTyped("bob", static("right", "123456")).want(mfa.Accept, mfa.ReasonDefaultOTP)
		},
		"by MS-CHAPv2": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendSuffix)
			r.send(r.mschap("bob", 1)).want(mfa.Reject, mfa.ReasonOTPUnsupported)
		},
		"locked codes": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendSuffix)
			for range 9 {
				r.sendTyped("bob", "right000000").want(mfa.Reject, mfa.ReasonWrongCode)
				time.Sleep(maxRejectDelay)
			}
			r.sendTyped("bob", "right000000").want(mfa.Reject, mfa.ReasonCodesLocked)
			time.Sleep(maxRejectDelay)
			r.sendTyped("bob", "right123456").want(mfa.Reject, mfa.ReasonCodesLocked)
			if r.codes.tries() != 10 {
				t.Errorf("got %d codes examined; want 10", r.codes.tries())
			}
		},
		"blocked": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendSuffix)
			r.users.set("bob", func(u *mfa.User) { u.Blocked = true })
			r.sendTyped("bob", "right123456").want(mfa.Reject, mfa.ReasonUserBlocked)
			if r.codes.tries() != 0 {
				t.Error("got the code examined; want it not examined")
			}
		},
		"the same origin ends its old dialog": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendDelimiter)
			r.client.Prompts = true
			old := r.sendTyped("bob", "right")
			r.sendTyped("bob", "right,123456").want(mfa.Accept, "")
			r.sendAnswer(old, "123456").want(mfa.Reject, mfa.ReasonStateUnknown)
		},
		"the primary that can find cannot be asked": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendSuffix)
			r.use(finder{r.primary, errors.New("down")})
			r.sendTyped("bob", "right123456").want(mfa.Discard, mfa.ReasonPrimaryError)
			if r.primary.calls != 0 {
				t.Error("got the primary asked again; want no question")
			}
		},
		"the primary knows the user under another name": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendSuffix)
			r.codes.none = map[string]bool{`CORP\bob`: true}
			for _, primary := range []mfa.PasswordChecker{finder{r.primary, nil}, namer{r.primary}} {
				r.use(primary)
				r.codes.used = nil
				r.sendTyped(`CORP\bob`, "right123456").want(mfa.Accept, "")
			}
		},
	})
}

// namer is a primary that knows its names without asking.
type namer struct{ *primary }

func (n namer) Abilities() mfa.Abilities { return mfa.Abilities{Namer: n, FromMemory: true} }

func (namer) CanonicalName(user mfa.Name) mfa.Name {
	return mfa.NameOf(strings.TrimPrefix(user.Sent(), `CORP\`))
}

// finder is a primary that can look users up.
type finder struct {
	*primary
	err error
}

func (f finder) Abilities() mfa.Abilities { return mfa.Abilities{Finder: f, FromMemory: true} }

func (f finder) Find(_ context.Context, who mfa.Name) (mfa.Identity, error) {
	user := who.Sent()
	return mfa.Identity{Name: mfa.NameOf(strings.TrimPrefix(user, `CORP\`)), Known: true}, f.err
}

// A login that ends between its opening and the examination leaves no State.
func TestAppendedTooLate(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		q := r.request("bob")
		w := newPendingLogin(r.login(q, &mfa.Identity{Name: mfa.NameOf("bob")}, mfa.ReasonDefaultOTP), r.client)
		w.Plan, w.code = mfa.PlanOTP, "123456"
		if _, what := r.Pending.join(t.Context(), w, waiter{Request: q}); what != opened {
			t.Fatal(what)
		}
		r.Pending.Close(t.Context())
		if c := r.Pending.appended(w, waiter{Request: q}); c != nil || len(r.Pending.states) != 0 {
			t.Error("a State is out for a login that has ended")
		}
	})
}

// TestAppendedGuessing: thousands of guesses at once, as fast as they come, are no
// more than guesses one by one; and what a rejection takes tells nothing about
// the password in front of the code.
func TestAppendedGuessing(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"in parallel": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendSuffix)
			for i := range 1000 {
				q := r.request("bob")
				q.EndUser, q.Cred = fmt.Sprint("198.51.100.", i), mfa.Password(fmt.Sprintf("right%06d", i))
				r.start(q)
			}
			synctest.Wait()
			if n := r.codes.tries(); n > r.Lockout.Max {
				t.Errorf("%d codes were examined", n)
			}
			for r.codes.tries() < r.Lockout.Max { // of so many at once some were too many
				r.sendTyped("bob", "right000000").want(mfa.Reject, mfa.ReasonWrongCode)
				time.Sleep(maxRejectDelay)
			}
			r.sendTyped("bob", "right123456").want(mfa.Reject, mfa.ReasonCodesLocked)
		},
		"beside a prompt that its owner will approve": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendSuffix)
			r.client.Prompts = true
			hers := r.send(r.request("alice"))
			for i, endUser := range []string{"203.0.113.66", "198.51.100.7"} {
				q := r.request("alice")
				q.EndUser, q.Cred = endUser, mfa.Password("right000000")
				theirs := r.send(q)
				theirs.want(mfa.Challenge, mfa.ReasonAppendedCode)
				hers.wantWaits()
				if i == 1 {
					r.prompted(1).decides(nil)
					hers.want(mfa.Accept, mfa.ReasonApproveDeny)
				}
				r.sendAnswer(theirs, "").want(mfa.Challenge, "") // an answer, not an OK: none of the user's devices is asked
				r.sendAnswer(theirs, "").want(mfa.Reject, mfa.ReasonStateUnknown)
			}
		},
		"over styles and origins": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendDelimiter)
			r.client.Prompts = true
			for i := range 20 {
				q := r.request("bob")
				q.EndUser, q.Cred = fmt.Sprint("198.51.100.", i%3), mfa.Password(fmt.Sprintf("right,%06d", i))
				if a := r.send(q); !a.waits() {
					if d, _ := a.decision(); d.Outcome == mfa.Challenge {
						r.sendAnswer(a, fmt.Sprintf("%06d", 100+i))
					}
				}
			}
			if n := r.codes.tries(); n > r.Lockout.Max {
				t.Errorf("%d codes were examined", n)
			}
		},
		"a rejection takes as long as that of a wrong password": func(t *testing.T, r *rig) {
			r.appends(mfa.AppendSuffix)
			var last time.Duration
			for range 4 {
				last = r.sendTyped("bob", "wrong000000").want(mfa.Reject, mfa.ReasonWrongPassword).Delay
				time.Sleep(last)
			}
			if d := r.sendTyped("bob", "right000000").want(mfa.Reject, mfa.ReasonWrongCode); d.Delay != 2*last {
				t.Errorf("%s, after %s for a wrong password; want Delay 2*last", d.Delay, last)
			}
		},
	})
}
