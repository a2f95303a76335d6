package otp_test

import (
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/otp"
)

// TestCheckCode: to look at a code uses up nothing, however often, and says the same each
// time; once the use counts it is used.
func TestCheckCode(t *testing.T) {
	totp, hotp := fixed(otp.NewTOTP(mfa.NameOf("alice"))), fixed(otp.NewHOTP(mfa.NameOf("alice")))
	once, shownOnce, err := otp.NewPass(mfa.NameOf("alice"), start, time.Hour, true)
	if err != nil {
		t.Fatal(err)
	}
	often, shownOften, err := otp.NewPass(mfa.NameOf("alice"), start, time.Hour, false)
	if err != nil {
		t.Fatal(err)
	}
	step := start.Unix() / int64(totp.Period)
	for _, tt := range []struct {
		name   string
		token  otp.Token
		before string // a code that is typed first
		code   string
		want   mfa.Use
		then   string // after the use
	}{
		{"TOTP", totp, "", code(t, totp, step), mfa.Use{Method: "totp", Step: step}, "used"},
		{"TOTP, a step early", totp, "", code(t, totp, step+1), mfa.Use{Method: "totp", Step: step + 1, Drift: 1}, "used"},
		{"TOTP, out of step", totp, code(t, totp, step+8), code(t, totp, step+9), mfa.Use{Method: "totp", Step: step + 9, Drift: 9}, "used"},
		{"HOTP", hotp, "", code(t, hotp, 3), mfa.Use{Method: "hotp", Step: 3}, "used"},
		{"HOTP, out of step", hotp, code(t, hotp, 30), code(t, hotp, 31), mfa.Use{Method: "hotp", Step: 31}, "used"},
		{"a pass for one login", once, "", shownOnce, mfa.Use{Method: "tap"}, "used"},
		{"a pass for many", often, "", shownOften, mfa.Use{Method: "tap", Reusable: true}, "ok"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, tt.token)
			look := func(code string) (mfa.Use, string) {
				u, err := d.CheckCode(t.Context(), mfa.NameOf("Alice"), code)
				return u, outcome(err)
			}
			for range 3 {
				if tt.before == "" {
					break
				}
				if u, got := look(tt.before); got != "wrong" || u != (mfa.Use{}) {
					t.Fatalf("the code before: got %+v, %s; want wrong", u, got)
				}
			}
			tt.want.Token = tt.token.ID
			for i := range 8 {
				if u, got := look(tt.code); got != "ok" || u != tt.want {
					t.Fatalf("look %d: got %+v, %s; want %+v", i, u, got, tt.want)
				}
			}
			d.want("use", tt.code, "ok")
			for i := range 2 {
				if _, got := look(tt.code); got != tt.then {
					t.Errorf("after the use, look %d: got %s; want %s", i, got, tt.then)
				}
			}
		})
	}
	for _, answer := range []string{"", "no code", "000000000000"} {
		if u, err := newDesk(t, totp).CheckCode(t.Context(), mfa.NameOf("alice"), answer); outcome(err) != "wrong" || u != (mfa.Use{}) {
			t.Errorf("%q: got %+v, %v; want a rejection", answer, u, err)
		}
	}
}
