package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/otp"
)

func (a *app) totpSyncCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "sync USER CODE CODE",
		Short: "Bring a token back that is out of step",
		Long: `Bring a token of USER back by two codes that it shows one after the other, the second
of them just now: one whose clock is up to ten minutes off, or that has counted up to
1000 codes further. How far off it is stays with the token. Both codes are used up.

A user can do the same at a login: the first of two codes in a row is refused, the
second is accepted.`,
		Example: "  radmatch totp sync anna 123456 654321",
		Args:    exactArgs(3, "radmatch totp sync USER CODE CODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUser(cmd.Context(), args[0], func(st *store.Store, user mfa.Name) error {
				return a.syncTOTP(cmd.Context(), st, user, [2]string{args[1], args[2]}, asJSON)
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) syncTOTP(ctx context.Context, st *store.Store, user mfa.Name, codes [2]string, asJSON bool) error {
	tokens, err := st.Tokens(ctx, user)
	if err != nil {
		return err
	}
	u, err := otp.Synchronise(tokens, codes[0], codes[1], time.Now())
	if err == nil {
		err = st.SyncToken(ctx, u, adminEvent(user, fmt.Sprintf("token %s synchronised: %s", u.Token, offset(tokens, u))))
	}
	switch {
	case errors.Is(err, otp.ErrSync), errors.Is(err, otp.ErrUsed):
		return withHint("radmatch totp list "+user.String()+"; two codes one after the other, the last of them just now; is the clock of this machine right?",
			fmt.Errorf("totp sync: %w", err))
	case err != nil:
		return err
	}
	if asJSON {
		return a.printJSON(newSyncReport(user, tokens, u))
	}
	fmt.Fprintf(a.stdout, "Token %s of %s: %s\n", u.Token, text.Printable(user.String(), 128), offset(tokens, u))
	return nil
}

// syncReport is a token that was brought back, for machines.
type syncReport struct {
	User string `json:"user"`
	ID   string `json:"id"`
	Off  *int   `json:"clock_off_s,omitempty"`  // totp: more than 0 is fast
	Next *int64 `json:"next_counter,omitempty"` // hotp
}

func newSyncReport(user mfa.Name, tokens []otp.Token, u otp.Use) syncReport {
	r := syncReport{User: user.String(), ID: u.Token}
	for i := range tokens {
		if t := &tokens[i]; t.ID == u.Token && t.Kind == otp.TOTP {
			off := u.Drift * t.Period
			r.Off = &off
			return r
		}
	}
	next := u.Step + 1
	r.Next = &next
	return r
}

// offset says how far off the token is that u belongs to.
func offset(tokens []otp.Token, u otp.Use) string {
	for _, t := range tokens {
		if t.ID != u.Token || t.Kind != otp.TOTP {
			continue
		}
		switch off := time.Duration(u.Drift*t.Period) * time.Second; {
		case off < 0:
			return fmt.Sprintf("its clock is about %v slow", -off)
		case off > 0:
			return fmt.Sprintf("its clock is about %v fast", off)
		}
		return "its clock is right"
	}
	return fmt.Sprintf("its next counter is %d", u.Step+1)
}
