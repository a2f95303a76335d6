package otp_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/otp"
	"github.com/radmatch/radmatch/otp/otptest"
)

// failing is a store whose disk is full.
type failing struct {
	otptest.Memory
	tokens, use error
}

func (s *failing) Tokens(ctx context.Context, who mfa.Name) ([]otp.Token, error) {

	if s.tokens != nil {
		return nil, s.tokens
	}
	return s.Memory.Tokens(ctx, who)
}

func (s *failing) Use(ctx context.Context, u otp.Use, ev mfa.Event) error { return s.use }

func TestStoreErrors(t *testing.T) {
	full := errors.New("disk full")
	token := fixed(otp.NewTOTP(mfa.NameOf("alice")))
	for _, tt := range []struct {
		name  string
		store *failing
		want  string
	}{
		{"tokens", &failing{tokens: full}, "error: reading tokens: disk full"},
		{"use", &failing{use: full}, "error: using a code: disk full"},
		{"used meanwhile", &failing{use: fmt.Errorf("token x: %w", otp.ErrUsed)}, "used"},
	} {
		if err := tt.store.AddToken(t.Context(), token, mfa.Event{}); err != nil {
			t.Fatal(err)
		}
		v := &otp.Verifier{Store: tt.store, Now: func() time.Time { return start }}
		got := outcome(v.VerifyCode(t.Context(), mfa.NameOf("alice"), code(t, token, start.Unix()/30), mfa.Event{}))
		if got != tt.want {
			t.Errorf("%s: got %s; want %s", tt.name, got, tt.want)
		}
	}
}

// BenchmarkVerifyCode is one accepted code of a user with one token.
func BenchmarkVerifyCode(b *testing.B) {
	token := fixed(otp.NewTOTP(mfa.NameOf("alice")))
	now := start.Unix() / 30
	accepted := code(b, token, now)
	for _, bb := range []struct {
		name, answer string
		rejected     bool
	}{{"accepted", accepted, false}, {"wrong", "000000", true}} {
		b.Run(bb.name, func(b *testing.B) {
			v := &otp.Verifier{Store: free{token: token}, Now: func() time.Time { return start }}
			b.ReportAllocs()
			for b.Loop() {
				if err := v.VerifyCode(b.Context(), mfa.NameOf("alice"), bb.answer, mfa.Event{}); (err != nil) != bb.rejected {
					b.Fatal(err)
				}
			}
		})
	}
}

// free costs nothing and forgets what was used.
type free struct {
	otp.Store
	token otp.Token
}

func (s free) Tokens(context.Context, mfa.Name) ([]otp.Token, error) {
	return []otp.Token{s.token}, nil
}
func (s free) Use(context.Context, otp.Use, mfa.Event) error { return nil }
