package otp_test

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	pquerna "github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/otp"
	"github.com/radmatch/radmatch/otp/otptest"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// code returns a token's code at a step, made by pquerna.
func code(t testing.TB, token otp.Token, step int64) string {
	t.Helper()
	algorithm := map[string]pquerna.Algorithm{otp.SHA1: pquerna.AlgorithmSHA1, otp.SHA256: pquerna.AlgorithmSHA256, otp.SHA512: pquerna.AlgorithmSHA512}
	c, err := hotp.GenerateCodeCustom(base32.StdEncoding.EncodeToString(token.Secret), uint64(step),
		hotp.ValidateOpts{Digits: pquerna.Digits(token.Digits), Algorithm: algorithm[token.Algorithm]})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// desk is a verifier with a clock that the test moves.
type desk struct {
	*otp.Verifier
	t     *testing.T
	store *otptest.Memory
	now   time.Time
}

func newDesk(t *testing.T, tokens ...otp.Token) *desk {
	d := &desk{t: t, store: new(otptest.Memory), now: start}
	d.Verifier = &otp.Verifier{Store: d.store, Now: func() time.Time { return d.now }}
	for _, token := range tokens {
		add := d.store.AddToken
		if token.Kind == otp.Pass {
			add = d.store.ReplacePass
		}
		if err := add(t.Context(), token, mfa.Event{}); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// fixed gives a token the same secret in each run, so that a collision of two
// codes cannot fail a test once in a while.
func fixed(token otp.Token) otp.Token {
	copy(token.Secret, "12345678901234567890")
	return token
}

// step returns the step of the true time.
func (d *desk) step(token otp.Token) int64 { return d.now.Unix() / int64(token.Period) }

// verify returns what a login would: "ok", "wrong", "used" or "error: …".
func (d *desk) verify(answer string) string {
	d.t.Helper()
	return outcome(otptest.Login(d.t.Context(), d.Verifier, d.store, answer, mfa.Event{Origin: mfa.Origin{User: mfa.NameOf("Alice")}}))
}

func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, mfa.ErrRejected) && errors.Is(err, mfa.ErrCodeUsed):
		return "used"
	case errors.Is(err, mfa.ErrRejected):
		return "wrong"
	}
	return "error: " + err.Error()
}

func (d *desk) want(name, answer, want string) {
	d.t.Helper()
	if got := d.verify(answer); got != want {
		d.t.Errorf("%s: got %s; want %s", name, got, want)
	}
}

func (d *desk) token(id string) otp.Token {
	d.t.Helper()
	tokens, err := d.store.Tokens(d.t.Context(), mfa.NameOf("alice"))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, token := range tokens {
		if token.ID == id {
			return token
		}
	}
	d.t.Fatalf("no token %s", id)
	return otp.Token{}
}

func TestTOTP(t *testing.T) {
	for _, algorithm := range []string{otp.SHA1, otp.SHA256, otp.SHA512} {
		for _, digits := range []int{6, 8} {
			for _, period := range []int{30, 60} {
				t.Run(fmt.Sprintf("%s/%d/%d", algorithm, digits, period), func(t *testing.T) {
					token := fixed(otp.NewTOTP(mfa.NameOf("alice")))
					token.Algorithm, token.Digits, token.Period = algorithm, digits, period
					d := newDesk(t, token)
					now := d.step(token)
					d.want("two steps early", code(t, token, now+2), "wrong")
					d.want("two steps late", code(t, token, now-2), "wrong")
					d.want("a step late", code(t, token, now-1), "ok")
					d.want("a step late again", code(t, token, now-1), "used")
					d.want("now", code(t, token, now), "ok")
					d.want("a step early", code(t, token, now+1), "ok")
					d.want("now again", code(t, token, now), "used")
				})
			}
		}
	}
}

func TestEvent(t *testing.T) {
	totp, counter := fixed(otp.NewTOTP(mfa.NameOf("alice"))), otp.NewHOTP(mfa.NameOf("alice"))
	counter.Next = 7
	pass, shown, err := otp.NewPass(mfa.NameOf("alice"), start, time.Hour, false)
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, totp, counter, pass)
	now := d.step(totp)
	for _, tt := range []struct {
		answer string
		want   mfa.Event
	}{
		{code(t, totp, now+1), mfa.Event{Method: "totp", Token: totp.ID, Step: now + 1, Drift: 1, Used: true}},
		{code(t, counter, 9), mfa.Event{Method: "hotp", Token: counter.ID, Step: 9, Used: true}},
		{shown, mfa.Event{Method: "tap", Token: pass.ID}},
	} {
		d.want(tt.want.Method, tt.answer, "ok")
		events := d.store.Events()
		got := events[len(events)-1]
		tt.want.User = mfa.NameOf("Alice")
		if got, want := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", tt.want); got != want {
			t.Errorf("event\n got %s\nwant %s", got, want)
		}
	}
}

func TestForm(t *testing.T) {
	token := fixed(otp.NewTOTP(mfa.NameOf("alice")))
	for _, tt := range []struct {
		name string
		form func(code string) string
		want string
	}{
		{"spaces", func(c string) string { return " " + c[:3] + " " + c[3:] }, "ok"},
		{"hyphen", func(c string) string { return c[:3] + "-" + c[3:] }, "ok"},
		{"full-width", func(c string) string {
			return strings.Map(func(r rune) rune { return r + '０' - '0' }, c)
		}, "ok"},
		{"a digit less", func(c string) string { return c[:5] }, "wrong"},
		{"a digit more", func(c string) string { return c + "0" }, "wrong"},
		{"leading zeros", func(c string) string { return "00" + c }, "wrong"},
		{"sign", func(c string) string { return "+" + c }, "wrong"},
		{"empty", func(string) string { return "" }, "wrong"},
		{"long", func(c string) string { return strings.Repeat(c, 1000) }, "wrong"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, token)
			d.want("code", tt.form(code(t, token, d.step(token))), tt.want)
		})
	}
}

// TestWrongCodes: of all codes that are not those of the window none is accepted.
func TestWrongCodes(t *testing.T) {
	token := fixed(otp.NewTOTP(mfa.NameOf("alice")))
	d := newDesk(t, token)
	right := map[string]bool{}
	for off := int64(-20); off <= 20; off++ {
		right[code(t, token, d.step(token)+off)] = true
	}
	for i := range 402 {
		wrong := fmt.Sprintf("%06d", i*2487)
		if !right[wrong] {
			d.want(wrong, wrong, "wrong")
		}
	}
	if n := len(d.store.Events()); n != 1 { // that of AddToken
		t.Errorf("got %d commits; want none", n-1)
	}
}

// TestDrift follows a token whose clock runs slow, and one that is put right.
func TestDrift(t *testing.T) {
	token := fixed(otp.NewTOTP(mfa.NameOf("alice")))
	d := newDesk(t, token)
	for slow := int64(1); slow <= 25; slow++ { // a step a month
		d.now = d.now.Add(30 * 24 * time.Hour)
		want := "ok"
		if slow > 21 { // ten minutes, and a step of window
			want = "wrong"
		}
		d.want(fmt.Sprintf("%d steps slow", slow), code(t, token, d.step(token)-slow), want)
	}
	if got := d.token(token.ID).Drift; got != -20 {
		t.Errorf("got drift %d; want -20, the bound", got)
	}
	d.now = d.now.Add(24 * time.Hour)
	d.want("put right", code(t, token, d.step(token)), "ok")
	d.want("put right, once more", code(t, token, d.step(token)+1), "ok")
	if got := d.token(token.ID).Drift; got != -18 {
		t.Errorf("got drift %d; want -18, a step for each code", got)
	}
}

// TestLateTyping: a user who types at the last moment does not train the
// window away from the true time.
func TestLateTyping(t *testing.T) {
	token := fixed(otp.NewTOTP(mfa.NameOf("alice")))
	d := newDesk(t, token)
	for i, off := range []int64{-1, -2, -3, 0, -1, 0, 1} {
		d.now = d.now.Add(time.Hour)
		d.want(fmt.Sprintf("code %d", i), code(t, token, d.step(token)+off), "ok")
	}
}

func TestClockSteps(t *testing.T) {
	token := fixed(otp.NewTOTP(mfa.NameOf("alice")))
	d := newDesk(t, token)
	now := d.step(token)
	d.want("before", code(t, token, now), "ok")
	d.now = start.Add(-time.Hour)
	d.want("set back: the used code", code(t, token, now), "wrong") // far outside the window
	d.want("set back: an old code", code(t, token, d.step(token)), "used")
	d.now = start.Add(-30 * time.Second)
	d.want("a step back: the used code", code(t, token, now), "used")
	d.want("a step back: an old code", code(t, token, now-1), "used")
	d.want("a step back: the token's next code", code(t, token, now+1), "wrong") // two ahead
	d.now = start.Add(60 * time.Second)
	d.want("put right", code(t, token, now+2), "ok")
	d.now = start.Add(time.Hour)
	d.want("set forward: the token's code of now", code(t, token, now+3), "wrong")
	d.now = start.Add(2 * time.Minute)
	d.want("put right again", code(t, token, now+4), "ok")
	d.now = time.Unix(-3600, 0)
	d.want("before 1970", "123456", "wrong")
}

func TestHOTP(t *testing.T) {
	token := fixed(otp.NewHOTP(mfa.NameOf("alice")))
	d := newDesk(t, token)
	d.want("eleven ahead", code(t, token, 11), "wrong")
	d.want("first", code(t, token, 0), "ok")
	d.want("first again", code(t, token, 0), "used")
	d.want("ten ahead", code(t, token, 11), "ok")
	d.want("skipped", code(t, token, 5), "used")
	d.want("next", code(t, token, 12), "ok")
	if got := d.token(token.ID).Next; got != 13 {
		t.Errorf("got next %d; want 13", got)
	}
}

// TestHOTPInDoubt: a counter that may have been used without anyone knowing takes two codes.
func TestHOTPInDoubt(t *testing.T) {
	token := fixed(otp.NewHOTP(mfa.NameOf("alice")))
	token.Doubt = true
	d := newDesk(t, token)
	d.want("one code", code(t, token, 3), "wrong")
	d.want("the same again", code(t, token, 3), "wrong")
	d.want("not the next", code(t, token, 1), "wrong")
	d.want("one code again", code(t, token, 3), "wrong")
	d.want("the next", code(t, token, 4), "ok")
	d.want("the next again", code(t, token, 4), "used")
}

func TestHOTPResync(t *testing.T) {
	tests := []struct {
		name          string
		first, second int64
		pause         time.Duration
		want          string
	}{
		{"two in a row", 30, 31, time.Minute, "ok"},
		{"the last of the range", 49, 50, time.Minute, "ok"},
		{"one beyond", 50, 51, time.Minute, "wrong"},
		{"one between", 30, 32, time.Minute, "wrong"},
		{"the same twice", 30, 30, time.Minute, "wrong"},
		{"backwards", 30, 29, time.Minute, "wrong"},
		{"too late", 30, 31, 11 * time.Minute, "wrong"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token := fixed(otp.NewHOTP(mfa.NameOf("alice")))
			d := newDesk(t, token)
			d.want("first", code(t, token, tt.first), "wrong")
			d.now = d.now.Add(tt.pause)
			d.want("second", code(t, token, tt.second), tt.want)
			if tt.want == "ok" {
				d.want("first afterwards", code(t, token, tt.first), "used")
				d.want("second afterwards", code(t, token, tt.second), "used")
				d.want("third", code(t, token, tt.second+1), "ok")
			}
		})
	}
}

// TestTOTPResync: a token whose clock is far off comes back with two codes in a
// row, the first of which is rejected; its offset is kept, no code is good twice.
func TestTOTPResync(t *testing.T) {
	const step = 30 * time.Second
	tests := []struct {
		name   string
		off    int64 // of the token's clock, in steps
		second int64 // the second code, in steps from the first
		pause  time.Duration
		want   string
	}{
		{"four minutes slow", -8, 1, step, "ok"},
		{"ten minutes fast", 20, 1, step, "ok"},
		{"ten minutes slow", -20, 1, step, "ok"},
		{"eleven minutes slow", -22, 1, step, "wrong"},
		{"eleven minutes fast", 22, 1, step, "wrong"},
		{"two steps slow", -2, 1, step, "ok"},
		{"typed at the end of a step and at the beginning", -8, 1, time.Second, "ok"},
		{"the second typed late", -8, 1, 2 * step, "ok"},
		{"the second typed too late", -8, 1, 3 * step, "wrong"},
		{"the same code twice", -8, 0, step, "wrong"},
		{"one between", -8, 2, 2 * step, "wrong"},
		{"backwards", -8, -1, step, "wrong"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token := fixed(otp.NewTOTP(mfa.NameOf("alice")))
			d := newDesk(t, token)
			first := d.step(token) + tt.off
			d.want("first", code(t, token, first), "wrong")
			d.now = d.now.Add(tt.pause)
			d.want("second", code(t, token, first+tt.second), tt.want)
			if tt.want != "ok" {
				d.want("the true time", code(t, token, d.step(token)), "ok")
				return
			}
			if got, want := d.token(token.ID).Drift, int(first+1-d.step(token)); got != want {
				t.Errorf("got drift %d; want %d", got, want)
			}
			for _, used := range []int64{first, first + 1} {
				if got := d.verify(code(t, token, used)); got == "ok" {
					t.Errorf("step %d is accepted again", used-first)
				}
			}
			d.now = d.now.Add(time.Minute)
			d.want("third, a minute later", code(t, token, first+3), "ok")
		})
	}
}

// TestTOTPResyncNotBehind: two codes in a row that lie before one that was used
// bring nothing back, such as those that someone has seen.
func TestTOTPResyncNotBehind(t *testing.T) {
	token := fixed(otp.NewTOTP(mfa.NameOf("alice")))
	d := newDesk(t, token)
	now := d.step(token)
	d.want("the owner's", code(t, token, now), "ok")
	for _, off := range []int64{-9, -8, -7, -6} {
		if got := d.verify(code(t, token, now+off)); got == "ok" {
			t.Errorf("the code of %d steps ago is accepted", -off)
		}
	}
}

func TestSynchronise(t *testing.T) {
	timed, counter := fixed(otp.NewTOTP(mfa.NameOf("alice"))), otp.NewHOTP(mfa.NameOf("alice"))
	now := start.Unix() / 30
	timed.Next = now - 10
	tests := []struct {
		name          string
		token         otp.Token
		first, second int64
		drift         int
		ok            bool
	}{
		{"right", timed, now, now + 1, 1, true},
		{"slow", timed, now - 8, now - 7, -7, true},
		{"fast", timed, now + 19, now + 20, 20, true},
		{"too fast", timed, now + 20, now + 21, 0, false},
		{"used", timed, now - 11, now - 10, 0, false},
		{"one between", timed, now, now + 2, 0, false},
		{"HOTP", counter, 700, 701, 0, true},
		{"HOTP, too far", counter, 1001, 1002, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tokens := []otp.Token{otp.NewTOTP(mfa.NameOf("alice")), tt.token}
			u, err := otp.Synchronise(tokens, code(t, tt.token, tt.first), code(t, tt.token, tt.second), start)
			if (err == nil) != tt.ok || err == nil && (u.Step != tt.second || u.Drift != tt.drift || u.Token != tt.token.ID) {
				t.Errorf("got %+v, %v", u, err)
			}
		})
	}
	if _, err := otp.Synchronise([]otp.Token{timed}, "", "", start); err == nil {
		t.Error("no codes synchronise: got no error; want one")
	}
}

func TestPassVerify(t *testing.T) {
	tests := []struct {
		name  string
		once  bool
		at    time.Duration
		wants []string
	}{
		{"many logins", false, 0, []string{"ok", "ok", "ok"}},
		{"one login", true, 0, []string{"ok", "used", "used"}},
		{"too early", false, -time.Second, []string{"wrong"}},
		{"the last moment", false, time.Hour - 1, []string{"ok"}},
		{"expired", false, time.Hour, []string{"wrong"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pass, shown, err := otp.NewPass(mfa.NameOf("alice"), start, time.Hour, tt.once)
			if err != nil {
				t.Fatal(err)
			}
			d := newDesk(t, pass)
			d.now = start.Add(tt.at)
			d.want("another pass", "k7mpq-3x9dr", "wrong")
			d.want("a digit less", shown[:len(shown)-1], "wrong")
			for i, want := range tt.wants {
				d.want("use "+strconv.Itoa(i+1), strings.ToUpper(shown), want)
			}
		})
	}
}

// TestBrokenToken: a token without a key, or with a period of 0, accepts nothing
// and harms no other one.
func TestBrokenToken(t *testing.T) {
	good := fixed(otp.NewTOTP(mfa.NameOf("alice")))
	empty, period, pass := otp.NewTOTP(mfa.NameOf("alice")), otp.NewTOTP(mfa.NameOf("alice")), otp.Token{ID: "p", User: mfa.NameOf("alice"), Kind: otp.Pass, Expires: start.Add(time.Hour)}
	empty.Secret, period.Period = nil, 0
	d := newDesk(t, empty, period, pass, good)
	d.want("code of the empty key", code(t, empty, d.step(good)), "wrong")
	d.want("empty pass", "", "wrong")
	d.want("the good one", code(t, good, d.step(good)), "ok")
}

func TestSeveralTokens(t *testing.T) {
	var tokens []otp.Token
	for range otp.MaxTokens {
		tokens = append(tokens, otp.NewTOTP(mfa.NameOf("alice")))
	}
	d := newDesk(t, tokens...)
	for _, token := range tokens {
		d.want("code", code(t, token, d.step(token)), "ok")
	}
	for _, token := range tokens {
		d.want("code again", code(t, token, d.step(token)), "used")
	}
}

// TestSharedSecret: should one key stand in two tokens all the same, its code is
// still good for one login.
func TestSharedSecret(t *testing.T) {
	first := fixed(otp.NewTOTP(mfa.NameOf("alice")))
	second := fixed(otp.NewTOTP(mfa.NameOf("alice")))
	s := &twins{Memory: new(otptest.Memory), tokens: []otp.Token{first, second}}
	v := &otp.Verifier{Store: s, Now: func() time.Time { return start }}
	c := code(t, first, start.Unix()/30)
	for i, want := range []string{"ok", "used"} {
		if got := outcome(otptest.Login(t.Context(), v, s, c, mfa.Event{Origin: mfa.Origin{User: mfa.NameOf("alice")}})); got != want {
			t.Errorf("use %d: got %s; want %s", i+1, got, want)
		}
	}
}

type twins struct {
	*otptest.Memory
	tokens []otp.Token
}

func (s *twins) Tokens(context.Context, mfa.Name) ([]otp.Token, error) {
	return append([]otp.Token(nil), s.tokens...), nil
}

func (s *twins) Append(_ context.Context, _ mfa.Version, ev mfa.Event) error {
	for i := range s.tokens {
		if s.tokens[i].ID == ev.Token {
			s.tokens[i].Next = ev.Step + 1
		}
	}
	return nil
}

func TestRace(t *testing.T) {
	token, counter := fixed(otp.NewTOTP(mfa.NameOf("alice"))), otp.NewHOTP(mfa.NameOf("alice"))
	pass, shown, _ := otp.NewPass(mfa.NameOf("alice"), start, time.Hour, true)
	d := newDesk(t, token, counter, pass)
	for name, answer := range map[string]string{
		"totp": code(t, token, d.step(token)), "hotp": code(t, counter, 3), "tap": shown,
	} {
		got := make([]string, 16)
		var wg sync.WaitGroup
		begin := make(chan struct{})
		for i := range got {
			wg.Go(func() {
				<-begin
				got[i] = outcome(otptest.Login(t.Context(), d.Verifier, d.store, answer, mfa.Event{Origin: mfa.Origin{User: mfa.NameOf("alice")}}))
			})
		}
		close(begin)
		wg.Wait()
		count := map[string]int{}
		for _, g := range got {
			count[g]++
		}
		if count["ok"] != 1 || count["used"] != len(got)-1 {
			t.Errorf("%s: got %v; want 1 ok, %d used", name, count, len(got)-1)
		}
	}
}
