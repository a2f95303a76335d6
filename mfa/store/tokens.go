package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/otp"
)

// Tokens implements otp.Store. A secret that does not open is an error: the
// login fails, and counts against no user.
func (s *Store) Tokens(ctx context.Context, user mfa.Name) (_ []otp.Token, err error) {
	defer wrap(&err, "store: tokens")
	var list []otp.Token
	err = s.view(ctx, user, func(a *record.Account) {
		if a == nil {
			return
		}
		list = make([]otp.Token, len(a.Tokens))
		for i := range a.Tokens {
			list[i] = a.Tokens[i].Public()
			list[i].Secret = a.Tokens[i].Sealed
		}
	})
	if err != nil {
		return nil, err
	}
	ring := s.keys.Ring()
	for i := range list {
		t := &list[i]
		if t.Secret, err = ring.Open(t.Secret, seal.Bound(t.User.Key().String(), t.ID)); err != nil {
			return nil, fmt.Errorf("token %s: %w", t.ID, err)
		}
	}
	return list, nil
}

// Forms implements otp.Store. In a command it reads the database; an error
// there is a user without tokens.
func (s *Store) Forms(user mfa.Name) otp.Forms {
	var f otp.Forms
	_ = s.view(context.Background(), user, func(a *record.Account) {
		if a == nil {
			return
		}
		for i := range a.Tokens {
			t := &a.Tokens[i]
			f = f.With(otp.Token{Kind: t.Kind, Digits: int(t.Digits)})
		}
	})
	return f
}

// ListTokens returns the tokens of a user, or of everybody for the zero Name, without
// their secrets, by user and then id.
func (s *Store) ListTokens(ctx context.Context, user mfa.Name) (list []otp.Token, err error) {
	defer wrap(&err, "store: tokens")
	err = s.list(ctx, user, func(a *record.Account) {
		for i := range a.Tokens {
			list = append(list, a.Tokens[i].Public())
		}
	})
	return list, err
}

// list calls f for the account of user, or for all of them in order.
func (s *Store) list(ctx context.Context, user mfa.Name, f func(*record.Account)) error {
	if !user.IsZero() {
		return s.view(ctx, user, func(a *record.Account) {
			if a != nil {
				f(a)
			}
		})
	}
	accounts, err := s.db.Accounts(ctx, record.Which{})
	if err != nil {
		return err
	}
	for _, a := range sorted(accounts) {
		f(a)
	}
	return nil
}

// AddToken registers a token. otp.ErrDuplicate and otp.ErrTooMany say why not.
// The codes of one that was registered before and removed stay used.
func (s *Store) AddToken(ctx context.Context, t otp.Token, ev mfa.Event) error {
	refused, err := s.AddTokens(ctx, []otp.Token{t}, ev)
	return errors.Join(refused[0], err)
}

// AddTokens registers tokens in one commit. refused has an error for each token
// that was left out, nil for the others; err means that none was added. With
// nothing added there is no event.
func (s *Store) AddTokens(ctx context.Context, tokens []otp.Token, ev mfa.Event) (refused []error, err error) {
	defer wrap(&err, "store: adding tokens")
	refused = make([]error, len(tokens))
	var good []otp.Token
	var at []int // where the good ones stand among all
	for i := range tokens {
		if refused[i] = tokens[i].Validate(); refused[i] == nil {
			good, at = append(good, tokens[i]), append(at, i)
		}
	}
	if len(good) == 0 {
		return refused, nil
	}
	done, err := s.Apply(ctx, ev, op.AddTokens{Tokens: good})
	for i, err := range done.Refused {
		refused[at[i]] = err
	}
	if errors.Is(err, op.ErrNothing) {
		err = nil
	}
	return refused, err
}

// ReplacePass registers a Temporary Access Pass and removes the one before it.
func (s *Store) ReplacePass(ctx context.Context, t otp.Token, ev mfa.Event) (err error) {
	defer wrap(&err, "store: pass")
	if t.Kind != otp.Pass {
		return fmt.Errorf("token of kind %q is not a pass", t.Kind)
	}
	if err := t.Validate(); err != nil {
		return err
	}
	done, err := s.Apply(ctx, ev, op.RemovePasses{User: t.User}, op.AddTokens{Tokens: []otp.Token{t}})
	if errors.Is(err, op.ErrNothing) {
		err = done.Refused[0]
	}
	return err
}

// SyncToken uses up the steps of a token up to that of u and keeps its drift, for
// an operator who has it in hand. otp.ErrUsed if a login has used that one, or the
// one before it.
func (s *Store) SyncToken(ctx context.Context, u otp.Use, ev mfa.Event) (err error) {
	defer wrap(&err, "store: synchronising a token")
	_, err = s.Apply(ctx, ev, op.SyncToken{Use: u})
	return err
}

// RemoveToken removes the user's token with this id or serial number.
// otp.ErrNoToken if there is none.
func (s *Store) RemoveToken(ctx context.Context, user mfa.Name, idOrSerial string, ev mfa.Event) (err error) {
	defer wrap(&err, "store: removing a token")
	if idOrSerial == "" {
		return otp.ErrNoToken
	}
	_, err = s.Apply(ctx, ev, op.RemoveToken{User: user, IDOrSerial: idOrSerial})
	return err
}
