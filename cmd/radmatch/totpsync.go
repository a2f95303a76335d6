package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/otp"
)

func (a *app) totpSyncCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "sync USER CODE CODE",
		Short: "Resynchronize a token that is out of step",
		Long: `Resynchronize a token of USER by two passcodes that it shows one after the other, the
second of them just now. Its clock may be up to ten minutes off, or its counter up to
1000 ahead. The offset is kept with the token. Both passcodes are used up.

A user can do the same at a login: the first of two passcodes in a row is refused, the
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
	t, err := operations(st).SyncToken(ctx, actor(), user, codes[0], codes[1])
	switch {
	case errors.Is(err, otp.ErrSync), errors.Is(err, otp.ErrUsed):
		return withHint("radmatch totp list "+user.String()+"; two codes one after the other, the last of them just now; is the clock of this machine right?",
			fmt.Errorf("totp sync: %w", err))
	case err != nil:
		return err
	}
	if asJSON {
		return a.printJSON(newSyncReport(user, t))
	}
	fmt.Fprintf(a.stdout, "Token %s of %s: %s\n", t.Token, text.Printable(user.String(), 128), t)
	return nil
}

// syncReport is a token that was brought back, for machines.
type syncReport struct {
	User string `json:"user"`
	ID   string `json:"id"`
	Off  *int   `json:"clock_off_s,omitempty"`  // totp: more than 0 is fast
	Next *int64 `json:"next_counter,omitempty"` // hotp
}

func newSyncReport(user mfa.Name, t admin.Synchronised) syncReport {
	r := syncReport{User: user.String(), ID: t.Token}
	if t.Kind == otp.TOTP {
		off := int(t.Off / time.Second)
		r.Off = &off
	} else {
		r.Next = &t.Next
	}
	return r
}
