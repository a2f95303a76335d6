package otptest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/otp"
)

// Store is otp.Store with what the suite needs to fill it.
type Store interface {
	otp.Store
	Log
	AddToken(ctx context.Context, t otp.Token, admin mfa.Event) error
	ReplacePass(ctx context.Context, t otp.Token, admin mfa.Event) error
	RemoveToken(ctx context.Context, user mfa.Name, idOrSerial string, admin mfa.Event) error
}

// Log is what a login needs of a store beside its tokens.
type Log interface {
	mfa.Ledger
	User(ctx context.Context, name mfa.Name) (mfa.User, error)
}

// Login does what a login does with a code: it looks at it, and uses it up by the entry ev
// of its user. The errors are those of CheckCode and Append, except for mfa.ErrStale.
func Login(ctx context.Context, v *otp.Verifier, s Log, code string, ev mfa.Event) error {
	return decide(ctx, s, ev, func() (mfa.Use, error) { return v.CheckCode(ctx, ev.User, code) })
}

// decide appends ev with the use that look finds, until no other entry comes first.
func decide(ctx context.Context, s Log, ev mfa.Event, look func() (mfa.Use, error)) error {
	for {
		user, err := s.User(ctx, ev.User)
		if err != nil {
			return err
		}
		u, err := look()
		if err != nil {
			return err
		}
		ev.Take(u)
		if err := s.Append(ctx, user.Version, ev); !errors.Is(err, mfa.ErrStale) {
			return err
		}
	}
}

// RunStore checks the contract of otp.Store line by line, and that of a log about uses. open returns an empty
// store. reopen closes s and opens what is on disk, as after a restart; nil for
// a store that keeps nothing.
func RunStore(t *testing.T, open func(t *testing.T) Store, reopen func(t *testing.T, s Store) Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s Store)
	}{
		{"Empty", testEmpty},
		{"Tokens", testTokens},
		{"Forms", testForms},
		{"Use", testUse},
		{"UseRace", testUseRace},
		{"UseGone", testUseGone},
		{"Pass", testPass},
		{"Register", testRegister},
		{"Remove", testRemove},
		{"Again", testAgain},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
	if reopen != nil {
		t.Run("Restart", func(t *testing.T) { testRestart(t, open(t), reopen) })
	}
}

func testEmpty(t *testing.T, s Store) {
	if got, err := s.Tokens(t.Context(), mfa.NameOf("nobody")); err != nil || len(got) != 0 {
		t.Errorf("Tokens of an unknown user: got %d tokens, error %v; want none", len(got), err)
	}
	if got := s.Forms(mfa.NameOf("nobody")); got != (otp.Forms{}) {
		t.Errorf("Forms of an unknown user: got %+v; want the zero Forms", got)
	}
}

func testTokens(t *testing.T, s Store) {
	totp, hotp := otp.NewTOTP(mfa.NameOf("Alice@example.org")), otp.NewHOTP(mfa.NameOf("Alice@example.org"))
	totp.Algorithm, totp.Digits, totp.Period, totp.Drift = otp.SHA512, 8, 60, -3
	totp.Serial, totp.Label = "GALT 1142", "Thales OTP 110"
	hotp.Next = 17
	pass, _, err := otp.NewPass(mfa.NameOf("Alice@example.org"), time.Now().Truncate(time.Second), time.Hour, true)
	if err != nil {
		t.Fatal(err)
	}
	add(t, s, totp, hotp)
	if err := s.ReplacePass(t.Context(), pass, admin("tap issue")); err != nil {
		t.Fatal(err)
	}
	want := []otp.Token{totp, hotp, pass}
	first := tokens(t, s, "alice@EXAMPLE.org")
	if len(first) != len(want) {
		t.Fatalf("got %d tokens; want %d", len(first), len(want))
	}
	for _, w := range want {
		g, ok := find(first, w.ID)
		if got, want := show(g), show(w); !ok || got != want {
			t.Errorf("token came back changed\n got %s\nwant %s", got, want)
		}
	}
	clear(first[0].Secret) // the caller owns them
	second := tokens(t, s, "Alice@example.org")
	for i := range second {
		if second[i].ID != first[i].ID {
			t.Errorf("order: got %s at %d; want %s as before", second[i].ID, i, first[i].ID)
		}
	}
	if got, want := show(second[0]), show(want[slices.IndexFunc(want, func(w otp.Token) bool { return w.ID == second[0].ID })]); got != want {
		t.Errorf("a caller's change is seen by the next one\n got %s\nwant %s", got, want)
	}
}

func testForms(t *testing.T, s Store) {
	eight := otp.NewHOTP(mfa.NameOf("bob"))
	eight.Digits = 8
	pass, _, _ := otp.NewPass(mfa.NameOf("bob"), time.Now().Add(-2*time.Hour), time.Hour, false)
	steps := []struct {
		name string
		do   func() error
		want otp.Forms
	}{
		{"eight digits", func() error { return s.AddToken(t.Context(), eight, admin("totp add")) }, otp.Forms{Eight: true}},
		{"and six", func() error { return s.AddToken(t.Context(), otp.NewTOTP(mfa.NameOf("bob")), admin("totp add")) }, otp.Forms{Six: true, Eight: true}},
		{"and an expired pass", func() error { return s.ReplacePass(t.Context(), pass, admin("tap issue")) }, otp.Forms{Six: true, Eight: true, Pass: pass.Digits}},
		{"eight removed", func() error { return s.RemoveToken(t.Context(), mfa.NameOf("bob"), eight.ID, admin("totp remove")) }, otp.Forms{Six: true, Pass: pass.Digits}},
		{"pass removed", func() error { return s.RemoveToken(t.Context(), mfa.NameOf("bob"), pass.ID, admin("tap revoke")) }, otp.Forms{Six: true}},
	}
	for _, st := range steps {
		if err := st.do(); err != nil {
			t.Fatalf("%s: got error %v; want none", st.name, err)
		}
		if got := s.Forms(mfa.NameOf("BOB")); got != st.want {
			t.Errorf("%s: got %+v; want %+v", st.name, got, st.want)
		}
	}
}

func testUse(t *testing.T, s Store) {
	token, other := otp.NewTOTP(mfa.NameOf("carol")), otp.NewTOTP(mfa.NameOf("carol"))
	add(t, s, token, other)
	uses := []struct {
		name  string
		step  int64
		drift int
		want  error
	}{
		{"step 0", 0, 0, nil},
		{"step 0 again", 0, 0, otp.ErrUsed},
		{"a later one", 57_000_000, 1, nil},
		{"the same", 57_000_000, 0, otp.ErrUsed},
		{"an earlier one", 56_999_999, 0, otp.ErrUsed},
		{"the next", 57_000_001, -2, nil},
	}
	for _, u := range uses {
		if err := use(t.Context(), s, token, u.step, u.drift); !errors.Is(err, u.want) {
			t.Errorf("%s: got %v; want %v", u.name, err, u.want)
		}
	}
	got, _ := find(tokens(t, s, "carol"), token.ID)
	if got.Next != 57_000_002 || got.Drift != -2 {
		t.Errorf("after the uses: got next %d, drift %d; want 57000002, -2", got.Next, got.Drift)
	}
	if got, _ := find(tokens(t, s, "carol"), other.ID); got.Next != 0 {
		t.Errorf("another token of the user: got next %d; want 0", got.Next)
	}
}

func testUseRace(t *testing.T, s Store) {
	token := otp.NewHOTP(mfa.NameOf("dave"))
	once, _, _ := otp.NewPass(mfa.NameOf("dave"), time.Now(), time.Hour, true)
	add(t, s, token)
	if err := s.ReplacePass(t.Context(), once, admin("tap issue")); err != nil {
		t.Fatal(err)
	}
	for _, token := range []otp.Token{token, once} {
		for step := int64(0); step < 5; step++ {
			if token.Kind == otp.Pass && step > 0 {
				break
			}
			if got := race(t, s, token, step); got != 1 {
				t.Errorf("%s, step %d: %d of 8 concurrent uses succeeded; want 1", token.Kind, step, got)
			}
		}
	}
}

// race uses one step eight times at once and returns how many succeeded.
func race(t *testing.T, s Store, token otp.Token, step int64) int {
	var wg sync.WaitGroup
	errs := make([]error, 8)
	start := make(chan struct{})
	for i := range errs {
		wg.Go(func() {
			<-start
			errs[i] = use(t.Context(), s, token, step, 0)
		})
	}
	close(start)
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, otp.ErrUsed):
			t.Errorf("a lost race: got %v; want ErrUsed", err)
		}
	}
	return won
}

func testUseGone(t *testing.T, s Store) {
	token := otp.NewTOTP(mfa.NameOf("erin"))
	pass, _, _ := otp.NewPass(mfa.NameOf("erin"), time.Now(), time.Hour, false)
	add(t, s, token)
	if err := s.ReplacePass(t.Context(), pass, admin("tap issue")); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []otp.Token{token, pass} {
		if err := s.RemoveToken(t.Context(), mfa.NameOf("erin"), gone.ID, admin("totp remove")); err != nil {
			t.Fatal(err)
		}
		if err := use(t.Context(), s, gone, 1, 0); !errors.Is(err, otp.ErrUsed) {
			t.Errorf("use of a removed %s: got %v; want ErrUsed", gone.Kind, err)
		}
	}
}

func testPass(t *testing.T, s Store) {
	old, _, _ := otp.NewPass(mfa.NameOf("frank"), time.Now(), time.Hour, false)
	if err := s.ReplacePass(t.Context(), old, admin("tap issue")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := use(t.Context(), s, old, 0, 0); err != nil {
			t.Errorf("a pass for many logins: got error %v; want none", err)
		}
	}
	if got, _ := find(tokens(t, s, "frank"), old.ID); got.Next != 0 {
		t.Errorf("a pass for many logins: got next %d; want 0", got.Next)
	}
	once, _, _ := otp.NewPass(mfa.NameOf("FRANK"), time.Now(), time.Hour, true)
	if err := s.ReplacePass(t.Context(), once, admin("tap issue")); err != nil {
		t.Fatal(err)
	}
	if got := tokens(t, s, "frank"); len(got) != 1 || got[0].ID != once.ID {
		t.Errorf("after a new pass: got %d tokens; want only the new pass", len(got))
	}
	if err := use(t.Context(), s, old, 0, 0); !errors.Is(err, otp.ErrUsed) {
		t.Errorf("use of a replaced pass: got %v; want ErrUsed", err)
	}
	for i, want := range []error{nil, otp.ErrUsed} {
		if err := use(t.Context(), s, once, 0, 0); !errors.Is(err, want) {
			t.Errorf("use %d of a pass for one login: got %v; want %v", i+1, err, want)
		}
	}
}

func testRegister(t *testing.T, s Store) {
	first := otp.NewTOTP(mfa.NameOf("grace"))
	first.Serial = "A-100"
	add(t, s, first)
	copied, serial := otp.NewTOTP(mfa.NameOf("Grace")), otp.NewTOTP(mfa.NameOf("heidi"))
	copied.Secret, serial.Serial = first.Secret, "a-100"
	for _, d := range []struct {
		name  string
		token otp.Token
	}{{"the secret again", copied}, {"the serial number for another user", serial}} {
		if err := s.AddToken(t.Context(), d.token, admin("totp add")); !errors.Is(err, otp.ErrDuplicate) {
			t.Errorf("%s: got %v; want ErrDuplicate", d.name, err)
		}
	}
	for range otp.MaxTokens - 1 {
		add(t, s, otp.NewTOTP(mfa.NameOf("grace")))
	}
	if err := s.AddToken(t.Context(), otp.NewTOTP(mfa.NameOf("GRACE")), admin("totp add")); !errors.Is(err, otp.ErrTooMany) {
		t.Errorf("token %d: got %v; want ErrTooMany", otp.MaxTokens+1, err)
	}
	if got := len(tokens(t, s, "grace")); got != otp.MaxTokens {
		t.Errorf("got %d tokens; want %d", got, otp.MaxTokens)
	}
}

func testRemove(t *testing.T, s Store) {
	byID, bySerial := otp.NewTOTP(mfa.NameOf("ivan")), otp.NewTOTP(mfa.NameOf("ivan"))
	bySerial.Serial = "S1"
	add(t, s, byID, bySerial)
	for _, r := range []struct {
		user, which string
		want        error
	}{
		{"ivan", "nothing", otp.ErrNoToken},
		{"ivan", "", otp.ErrNoToken},
		{"judy", byID.ID, otp.ErrNoToken}, // another user's
		{"IVAN", byID.ID, nil},
		{"ivan", byID.ID, otp.ErrNoToken},
		{"ivan", "S1", nil},
	} {
		if err := s.RemoveToken(t.Context(), mfa.NameOf(r.user), r.which, admin("totp remove")); !errors.Is(err, r.want) {
			t.Errorf("remove %q of %s: got %v; want %v", r.which, r.user, err, r.want)
		}
	}
	if got := len(tokens(t, s, "ivan")); got != 0 {
		t.Errorf("got %d tokens; want none", got)
	}
}

// testAgain registers a secret that was removed: what was used stays used, also
// for another user.
func testAgain(t *testing.T, s Store) {
	for _, first := range []otp.Token{otp.NewTOTP(mfa.NameOf("mia")), otp.NewHOTP(mfa.NameOf("mia"))} {
		add(t, s, first)
		if err := use(t.Context(), s, first, 100, 0); err != nil {
			t.Fatal(err)
		}
		last := first
		for i, user := range []string{"mia", "noa"} {
			if err := s.RemoveToken(t.Context(), last.User, last.ID, admin("totp remove")); err != nil {
				t.Fatal(err)
			}
			again := otp.NewTOTP(mfa.Name{})
			again.User, again.Kind, again.Period, again.Secret = mfa.NameOf(user), first.Kind, first.Period, first.Secret
			add(t, s, again)
			if err := use(t.Context(), s, again, int64(100+i), 0); !errors.Is(err, otp.ErrUsed) {
				t.Errorf("%s again, for %s: use of a used step: got %v; want ErrUsed", first.Kind, user, err)
			}
			if err := use(t.Context(), s, again, int64(101+i), 0); err != nil {
				t.Errorf("%s again, for %s: use of the next step: got error %v; want none", first.Kind, user, err)
			}
			last = again
		}
	}
}

func testRestart(t *testing.T, s Store, reopen func(t *testing.T, s Store) Store) {
	totp, hotp, gone := otp.NewTOTP(mfa.NameOf("kim")), otp.NewHOTP(mfa.NameOf("kim")), otp.NewTOTP(mfa.NameOf("kim"))
	once, _, _ := otp.NewPass(mfa.NameOf("kim"), time.Now(), time.Hour, true)
	many, _, _ := otp.NewPass(mfa.NameOf("leo"), time.Now(), time.Hour, false)
	add(t, s, totp, hotp, gone)
	for _, pass := range []otp.Token{once, many} {
		if err := s.ReplacePass(t.Context(), pass, admin("tap issue")); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range []struct {
		token otp.Token
		step  int64
		drift int
	}{{totp, 100, 1}, {totp, 105, 2}, {hotp, 0, 0}, {once, 0, 0}, {many, 0, 0}} {
		if err := use(t.Context(), s, u.token, u.step, u.drift); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.RemoveToken(t.Context(), mfa.NameOf("kim"), gone.ID, admin("totp remove")); err != nil {
		t.Fatal(err)
	}
	for _, round := range []string{"first", "second"} { // the second one finds what the first one folded
		s = reopen(t, s)
		for _, u := range []struct {
			token otp.Token
			step  int64
			want  error
		}{
			{totp, 105, otp.ErrUsed}, {totp, 100, otp.ErrUsed}, {hotp, 0, otp.ErrUsed},
			{once, 0, otp.ErrUsed}, {many, 0, nil}, {gone, 1, otp.ErrUsed},
		} {
			if err := use(t.Context(), s, u.token, u.step, 0); !errors.Is(err, u.want) {
				t.Errorf("%s restart: use of %s at step %d: got %v; want %v", round, u.token.Kind, u.step, err, u.want)
			}
		}
		if got, _ := find(tokens(t, s, "kim"), totp.ID); got.Next != 106 || got.Drift != 2 {
			t.Errorf("%s restart: got next %d, drift %d; want 106, 2", round, got.Next, got.Drift)
		}
		if got := s.Forms(mfa.NameOf("kim")); !got.Six || got.Pass != once.Digits {
			t.Errorf("%s restart: got forms %+v; want six digits and a pass", round, got)
		}
	}
	if err := use(t.Context(), s, totp, 106, 2); err != nil {
		t.Errorf("the next step after the restarts: got error %v; want none", err)
	}
}

func add(t *testing.T, s Store, tokens ...otp.Token) {
	t.Helper()
	for _, token := range tokens {
		if err := s.AddToken(t.Context(), token, admin("totp add")); err != nil {
			t.Fatal(err)
		}
	}
}

func tokens(t *testing.T, s Store, user string) []otp.Token {
	t.Helper()
	got, err := s.Tokens(t.Context(), mfa.NameOf(user))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func find(tokens []otp.Token, id string) (otp.Token, bool) {
	for _, token := range tokens {
		if token.ID == id {
			return token, true
		}
	}
	return otp.Token{}, false
}

// show writes a token with its times in UTC, so that two can be compared.
func show(t otp.Token) string {
	t.User = t.User.Key().Name()
	t.NotBefore, t.Expires, t.Created = t.NotBefore.UTC(), t.Expires.UTC(), t.Created.UTC()
	return fmt.Sprintf("%+v", t)
}

// use does what a login does once otp.Verifier has found the step of a code.
func use(ctx context.Context, s Store, token otp.Token, step int64, drift int) error {
	u := mfa.Use{Method: string(token.Kind), Token: token.ID, Step: step, Drift: drift, Reusable: token.Kind == otp.Pass && !token.Once}
	ev := mfa.Event{
		ID: otp.NewTOTP(mfa.Name{}).ID, Time: time.Now(), Kind: mfa.EventLogin, Origin: mfa.Origin{User: token.User},
		Plan: mfa.PlanOTP, Reason: mfa.ReasonDefaultOTP, Outcome: mfa.Accept,
	}
	return decide(ctx, s, ev, func() (mfa.Use, error) { return u, nil })
}

func admin(text string) mfa.Event {
	return mfa.Event{ID: otp.NewTOTP(mfa.Name{}).ID, Time: time.Now(), Kind: mfa.EventAdmin, Details: mfa.Details{Text: text, Operator: "tester"}}
}
