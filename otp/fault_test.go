package otp_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/otp"
	"github.com/radmatch/radmatch/otp/otptest"
)

// failing is a store whose disk is full.
type failing struct {
	otptest.Memory
	tokens error
}

func (s *failing) Tokens(ctx context.Context, who mfa.Name) ([]otp.Token, error) {

	if s.tokens != nil {
		return nil, s.tokens
	}
	return s.Memory.Tokens(ctx, who)
}

func TestStoreErrors(t *testing.T) {
	token := fixed(otp.NewTOTP(mfa.NameOf("alice")))
	s := &failing{tokens: errors.New("does not open")}
	if err := s.AddToken(t.Context(), token, mfa.Event{}); err != nil {
		t.Fatal(err)
	}
	v := &otp.Verifier{Store: s, Now: func() time.Time { return start }}
	u, err := v.CheckCode(t.Context(), mfa.NameOf("alice"), code(t, token, start.Unix()/30))
	if want := "error: reading tokens: does not open"; outcome(err) != want || u != (mfa.Use{}) {
		t.Errorf("got %+v, %s; want %s", u, outcome(err), want)
	}
}

// BenchmarkCheckCode is one right code of a user with one token.
func BenchmarkCheckCode(b *testing.B) {
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
				if _, err := v.CheckCode(b.Context(), mfa.NameOf("alice"), bb.answer); (err != nil) != bb.rejected {
					b.Fatal(err)
				}
			}
		})
	}
}

// free costs nothing.
type free struct {
	otp.Store
	token otp.Token
}

func (s free) Tokens(context.Context, mfa.Name) ([]otp.Token, error) {
	return []otp.Token{s.token}, nil
}
