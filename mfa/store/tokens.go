package store

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/otp"
)

// Tokens implements otp.Store. A secret that does not open is an error: the
// login fails, and counts against nobody.
func (s *Store) Tokens(ctx context.Context, user mfa.Name) (_ []otp.Token, err error) {
	defer wrap(&err, "store: tokens")
	var list []otp.Token
	err = s.view(ctx, user, func(a *account) {
		if a == nil {
			return
		}
		list = make([]otp.Token, len(a.tokens))
		for i := range a.tokens {
			list[i] = a.tokens[i].public()
			list[i].Secret = a.tokens[i].sealed
		}
	})
	if err != nil {
		return nil, err
	}
	ring := s.ring.Load()
	for i := range list {
		t := &list[i]
		if t.Secret, err = ring.open(t.Secret, bound(t.User.Key().String(), t.ID)); err != nil {
			return nil, fmt.Errorf("token %s: %w", t.ID, err)
		}
	}
	return list, nil
}

// Forms implements otp.Store. In a command it reads the database; an error
// there is a user without tokens.
func (s *Store) Forms(user mfa.Name) otp.Forms {
	var f otp.Forms
	_ = s.view(context.Background(), user, func(a *account) {
		if a == nil {
			return
		}
		for i := range a.tokens {
			t := &a.tokens[i]
			f = f.With(otp.Token{Kind: t.kind, Digits: int(t.digits)})
		}
	})
	return f
}

// Use implements otp.Store. Only the server may use up a step: it alone knows
// which are used. An event that was queued may still be committed after ctx has
// ended; the caller must treat ctx's error as a failure.
func (s *Store) Use(ctx context.Context, u otp.Use, ev mfa.Event) error {
	if !s.opt.Server {
		return ErrNotServer
	}
	if err := s.mark(u); err != nil {
		return err
	}
	ev.Token, ev.Step, ev.Drift = u.Token, u.Step, u.Drift
	return s.commit(ctx, ev, !u.Reusable)
}

// mark compares and sets the token's next step.
func (s *Store) mark(u otp.Use) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[u.User.Key().String()]
	if a == nil {
		return otp.ErrUsed
	}
	t := a.token(u.Token)
	if t == nil || u.Step == math.MaxInt64 {
		return otp.ErrUsed
	}
	if u.Reusable {
		return nil
	}
	if u.Step < t.next {
		return otp.ErrUsed
	}
	t.used(u.Step, int64(u.Drift))
	return nil
}

// ListTokens returns the tokens of a user, or of everybody for the zero Name, without
// their secrets, by user and then id.
func (s *Store) ListTokens(ctx context.Context, user mfa.Name) (list []otp.Token, err error) {
	defer wrap(&err, "store: tokens")
	err = s.list(ctx, user, func(a *account) {
		for i := range a.tokens {
			list = append(list, a.tokens[i].public())
		}
	})
	return list, err
}

// list calls f for the account of user, or for all of them in order.
func (s *Store) list(ctx context.Context, user mfa.Name, f func(*account)) error {
	if !user.IsZero() {
		return s.view(ctx, user, func(a *account) {
			if a != nil {
				f(a)
			}
		})
	}
	accounts, err := s.read(ctx, "")
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
	return s.addTokens(ctx, tokens, ev, func(*sql.Tx) error { return nil })
}

// ReplacePass registers a Temporary Access Pass and removes the one before it.
func (s *Store) ReplacePass(ctx context.Context, t otp.Token, ev mfa.Event) (err error) {
	defer wrap(&err, "store: pass")
	if t.Kind != otp.Pass {
		return fmt.Errorf("token of kind %q is not a pass", t.Kind)
	}
	refused, err := s.addTokens(ctx, []otp.Token{t}, ev, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM tokens WHERE user = ? AND kind = ?`, t.User.Key().String(), string(otp.Pass))
		return err
	})
	return errors.Join(refused[0], err)
}

// errNothing rolls a transaction back that has nothing to commit.
var errNothing = errors.New("nothing to commit")

func (s *Store) addTokens(ctx context.Context, tokens []otp.Token, ev mfa.Event, before func(*sql.Tx) error) ([]error, error) {
	refused := make([]error, len(tokens))
	users := make([]string, 0, len(tokens))
	for i := range tokens {
		if refused[i] = tokens[i].Validate(); refused[i] == nil {
			users = append(users, tokens[i].User.Key().String())
		}
	}
	if len(users) == 0 {
		return refused, nil
	}
	err := s.change(ctx, users, ev, func(tx *sql.Tx) error {
		if err := before(tx); err != nil {
			return err
		}
		in, err := s.newInserter(ctx, tx)
		if err != nil {
			return err
		}
		defer in.close()
		added := 0
		for i := range tokens {
			if refused[i] != nil {
				continue
			}
			err := in.add(ctx, tokens[i])
			if refused[i] = err; err == nil {
				added++
			} else if !errors.Is(err, otp.ErrDuplicate) && !errors.Is(err, otp.ErrTooMany) {
				return err
			}
		}
		if added == 0 {
			return errNothing
		}
		return nil
	})
	if errors.Is(err, errNothing) {
		err = nil
	}
	return refused, err
}

// inserter adds tokens in one transaction.
type inserter struct {
	ring        *keyring
	key         byte
	stmts       []*sql.Stmt
	user, mine  *sql.Stmt
	removed     *sql.Stmt
	insertToken *sql.Stmt
}

func (s *Store) newInserter(ctx context.Context, tx *sql.Tx) (in *inserter, err error) {
	in = new(inserter)
	if in.ring, in.key, err = s.sealer(ctx, tx); err != nil {
		return nil, err
	}
	for stmt, query := range map[**sql.Stmt]string{
		&in.user: `INSERT OR IGNORE INTO users (user, name) VALUES (?, ?)`,
		&in.mine: `SELECT id, secret FROM tokens WHERE user = ?`,
		&in.removed: `SELECT max(next, coalesce((SELECT max(step) + 1 FROM events WHERE id > ` + foldedMark + ` AND token = removed.id), 0))
			FROM removed WHERE mark = ?`,
		&in.insertToken: `INSERT INTO tokens (` + tokenColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
	} {
		if *stmt, err = tx.PrepareContext(ctx, query); err != nil {
			in.close()
			return nil, err
		}
		in.stmts = append(in.stmts, *stmt)
	}
	return in, nil
}

func (in *inserter) close() {
	for _, stmt := range in.stmts {
		stmt.Close()
	}
}

func (in *inserter) add(ctx context.Context, t otp.Token) error {
	user := t.User.Key().String()
	if t.ID == "" {
		t.ID = strings.ToLower(rand.Text()[:12])
	}
	if err := in.check(ctx, user, t.Secret); err != nil {
		return err
	}
	var used int64
	if err := in.removed.QueryRowContext(ctx, secretMark(&t)).Scan(&used); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	t.Next = max(t.Next, used)
	sealed, err := in.ring.seal(in.key, t.Secret, bound(user, t.ID))
	if err != nil {
		return err
	}
	if _, err := in.user.ExecContext(ctx, user, t.User.String()); err != nil {
		return err
	}
	_, err = in.insertToken.ExecContext(ctx, t.ID, user, string(t.Kind), sealed, t.Algorithm, t.Digits, t.Period, t.Next, t.Drift,
		t.Serial, t.Label, micros(t.NotBefore), micros(t.Expires), t.Once, micros(t.Created))
	if isUnique(err) {
		return fmt.Errorf("serial number %q: %w", t.Serial, otp.ErrDuplicate)
	}
	return err
}

// check refuses one token too many, and a secret that the user has already.
func (in *inserter) check(ctx context.Context, user string, secret []byte) error {
	rows, err := in.mine.QueryContext(ctx, user)
	if err != nil {
		return err
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var id string
		var sealed sql.RawBytes
		if err := rows.Scan(&id, &sealed); err != nil {
			return err
		}
		if n++; n >= otp.MaxTokens {
			return otp.ErrTooMany
		}
		// One that does not open cannot verify a code either.
		have, err := in.ring.open(sealed, bound(user, id))
		if err == nil && subtle.ConstantTimeCompare(have, secret) == 1 {
			return otp.ErrDuplicate
		}
	}
	return rows.Err()
}

// SyncToken uses up the steps of a token up to that of u and keeps its drift, for
// an operator who has it in hand. otp.ErrUsed if a login has used that one, or the
// one before it.
func (s *Store) SyncToken(ctx context.Context, u otp.Use, ev mfa.Event) (err error) {
	defer wrap(&err, "store: synchronising a token")
	key := u.User.Key().String()
	return s.change(ctx, []string{key}, ev, func(tx *sql.Tx) error {
		const query = `UPDATE tokens SET next = ?3 + 1, drift = ?4 WHERE id = ?1 AND user = ?2 AND next < ?3 AND kind <> ?5
			AND NOT EXISTS (SELECT 1 FROM events WHERE id > ` + foldedMark + ` AND token = ?1 AND step >= ?3 - 1)`
		r, err := tx.ExecContext(ctx, query, u.Token, key, u.Step, u.Drift, string(otp.Pass))
		return changed(r, err, otp.ErrUsed)
	})
}

// RemoveToken removes the user's token with this id or serial number.
// otp.ErrNoToken if there is none.
func (s *Store) RemoveToken(ctx context.Context, user mfa.Name, idOrSerial string, ev mfa.Event) (err error) {
	defer wrap(&err, "store: removing a token")
	if idOrSerial == "" {
		return otp.ErrNoToken
	}
	key := user.Key().String()
	return s.change(ctx, []string{key}, ev, func(tx *sql.Tx) error {
		t := otp.Token{User: user}
		var sealed []byte
		const query = `SELECT id, kind, period, next, secret FROM tokens WHERE user = ?1 AND (id = ?2 OR serial = ?2) ORDER BY id <> ?2`
		err := tx.QueryRowContext(ctx, query, key, idOrSerial).Scan(&t.ID, &t.Kind, &t.Period, &t.Next, &sealed)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w: token %q of user %q: %w", otp.ErrNoToken, idOrSerial, user, ErrNotFound)
		}
		if err != nil {
			return err
		}
		if err := s.keepUsed(ctx, tx, key, t, sealed); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM tokens WHERE id = ?`, t.ID)
		return err
	})
}

// keepUsed notes how far a token was used that is to be removed. A pass is never
// registered again, and a secret that does not open never verified a code.
func (s *Store) keepUsed(ctx context.Context, tx *sql.Tx, owner string, t otp.Token, sealed []byte) error {
	ring, _, err := s.sealer(ctx, tx)
	if err != nil {
		return err
	}
	if t.Secret, err = ring.open(sealed, bound(owner, t.ID)); err != nil || t.Kind == otp.Pass {
		return nil
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO removed (mark, id, next) VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET id = excluded.id, next = max(next, excluded.next)`, secretMark(&t), t.ID, t.Next)
	return err
}

// secretMark recognises a secret and what its steps mean, and does not tell it.
func secretMark(t *otp.Token) []byte {
	h := hmac.New(sha256.New, t.Secret)
	fmt.Fprintf(h, "removed %s %d", t.Kind, t.Period)
	return h.Sum(nil)
}
