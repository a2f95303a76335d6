package sqlstore

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/otp"
)

func block(ctx context.Context, tx *sql.Tx, o op.Block) error {
	key := o.User.Key().String()
	if err := ensureUser(ctx, tx, o.User); err != nil {
		return err
	}
	if _, err := endInvitations(ctx, tx, key); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE users SET blocked = true WHERE usr = $1`, key)
	return err
}

func unblock(ctx context.Context, tx *sql.Tx, o op.Unblock) error {
	key := o.User.Key().String()
	if err := ensureUser(ctx, tx, o.User); err != nil {
		return err
	}
	if _, err := endInvitations(ctx, tx, key); err != nil {
		return err
	}
	if err := dropOdd(ctx, tx, key); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM push_blocks WHERE usr = $1`, key); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE users SET blocked = false, unblocked = $1 WHERE usr = $2`, record.Micros(o.At), key)
	return err
}

func setMethod(ctx context.Context, tx *sql.Tx, o op.SetDefaultMethod) error {
	if err := ensureUser(ctx, tx, o.User); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE users SET method = $1 WHERE usr = $2`, string(o.Method), o.User.Key().String())
	return err
}

func (d *DB) addTokens(ctx context.Context, tx *sql.Tx, o op.AddTokens, done *op.Done) error {
	in, err := d.newInserter(ctx, tx)
	if err != nil {
		return err
	}
	defer in.close()
	done.Refused = make([]error, len(o.Tokens))
	added := 0
	for i := range o.Tokens {
		err := in.Add(ctx, o.Tokens[i])
		if done.Refused[i] = err; err == nil {
			added++
		} else if !errors.Is(err, otp.ErrDuplicate) && !errors.Is(err, otp.ErrTooMany) {
			return err
		}
	}
	if added == 0 {
		return op.ErrNothing
	}
	return nil
}

// inserter adds tokens in one transaction.
type inserter struct {
	tx          *sql.Tx
	trail       Trail
	ring        *seal.Ring
	key         byte
	stmts       []*sql.Stmt
	user, mine  *sql.Stmt
	removed     *sql.Stmt
	insertToken *sql.Stmt
}

func (d *DB) newInserter(ctx context.Context, tx *sql.Tx) (in *inserter, err error) {
	in = &inserter{tx: tx, trail: d.Trail}
	if in.ring, in.key, err = d.Sealer(ctx, tx); err != nil {
		return nil, err
	}
	for stmt, query := range map[**sql.Stmt]string{
		&in.user:        `INSERT INTO users (usr, name) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
		&in.mine:        `SELECT id, secret FROM tokens WHERE usr = $1`,
		&in.removed:     `SELECT id, next FROM removed WHERE mark = $1`,
		&in.insertToken: `INSERT INTO tokens (` + tokenColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING`,
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

func (in *inserter) Add(ctx context.Context, t otp.Token) error {
	user := t.User.Key().String()
	if t.ID == "" {
		t.ID = strings.ToLower(rand.Text()[:12])
	}
	if err := in.Check(ctx, user, t.Secret); err != nil {
		return err
	}
	used, err := in.usedBefore(ctx, &t)
	if err != nil {
		return err
	}
	t.Next = max(t.Next, used)
	sealed, err := in.ring.Seal(in.key, t.Secret, seal.Bound(user, t.ID))
	if err != nil {
		return err
	}
	if _, err := in.user.ExecContext(ctx, user, t.User.String()); err != nil {
		return err
	}
	r, err := in.insertToken.ExecContext(ctx, t.ID, user, string(t.Kind), sealed, t.Algorithm, t.Digits, t.Period, t.Next, t.Drift,
		t.Serial, t.Label, record.Micros(t.NotBefore), record.Micros(t.Expires), t.Once, record.Micros(t.Created))
	return Changed(r, err, fmt.Errorf("serial number %q: %w", t.Serial, otp.ErrDuplicate))
}

// usedBefore is the step after the last that was used of a token with the secret of t which
// is removed, 0 for none.
func (in *inserter) usedBefore(ctx context.Context, t *otp.Token) (next int64, err error) {
	var id string
	err = in.removed.QueryRowContext(ctx, secretMark(t)).Scan(&id, &next)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	used, err := in.trail.UsedUp(ctx, in.tx, "", id)
	return max(next, used), err
}

// Check refuses one token too many, and a secret that the user has already.
func (in *inserter) Check(ctx context.Context, user string, secret []byte) error {
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
		have, err := in.ring.Open(sealed, seal.Bound(user, id))
		if err == nil && subtle.ConstantTimeCompare(have, secret) == 1 {
			return otp.ErrDuplicate
		}
	}
	return rows.Err()
}

func removePasses(ctx context.Context, tx *sql.Tx, o op.RemovePasses) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM tokens WHERE usr = $1 AND kind = $2`, o.User.Key().String(), string(otp.Pass))
	return err
}

func (d *DB) removeToken(ctx context.Context, tx *sql.Tx, o op.RemoveToken) error {
	key := o.User.Key().String()
	t := otp.Token{User: o.User}
	var sealed []byte
	const query = `SELECT id, kind, period, next, secret FROM tokens WHERE usr = $1 AND (id = $2 OR serial = $2) ORDER BY id <> $2`
	err := tx.QueryRowContext(ctx, query, key, o.IDOrSerial).Scan(&t.ID, &t.Kind, &t.Period, &t.Next, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: token %q of user %q: %w", otp.ErrNoToken, o.IDOrSerial, o.User, op.ErrNotFound)
	}
	if err != nil {
		return err
	}
	if err := d.KeepUsed(ctx, tx, key, t, sealed); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM tokens WHERE id = $1`, t.ID)
	return err
}

func (d *DB) syncToken(ctx context.Context, tx *sql.Tx, o op.SyncToken) error {
	user := o.Use.User.Key().String()
	used, err := d.Trail.UsedUp(ctx, tx, user, o.Use.Token)
	if err != nil {
		return err
	}
	if used > 0 && used >= o.Use.Step {
		return otp.ErrUsed
	}
	const query = `UPDATE tokens SET next = $3, drift = $4 WHERE id = $1 AND usr = $2 AND next < $6 AND kind <> $5`
	r, err := tx.ExecContext(ctx, query, o.Use.Token, user, o.Use.Step+1, o.Use.Drift, string(otp.Pass), o.Use.Step)
	return Changed(r, err, otp.ErrUsed)
}

// KeepUsed notes how far a token was used that is to be removed. A pass is never
// registered again, and a secret that does not open never verified a code.
func (d *DB) KeepUsed(ctx context.Context, tx *sql.Tx, owner string, t otp.Token, sealed []byte) error {
	ring, _, err := d.Sealer(ctx, tx)
	if err != nil {
		return err
	}
	if t.Secret, err = ring.Open(sealed, seal.Bound(owner, t.ID)); err != nil || t.Kind == otp.Pass {
		return nil
	}
	used, err := d.Trail.UsedUp(ctx, tx, owner, t.ID)
	if err != nil {
		return err
	}
	mark, next := secretMark(&t), max(t.Next, used)
	_, err = tx.ExecContext(ctx, `INSERT INTO removed (mark, id, next) VALUES ($1, $2, $3) ON CONFLICT (mark) DO UPDATE SET id = excluded.id`, mark, t.ID, next)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE removed SET next = $2 WHERE mark = $1 AND next < $2`, mark, next)
	return err
}

// secretMark recognises a secret and what its steps mean, and does not tell it.
func secretMark(t *otp.Token) []byte {
	h := hmac.New(sha256.New, t.Secret)
	fmt.Fprintf(h, "removed %s %d", t.Kind, t.Period)
	return h.Sum(nil)
}

// ensureUser adds a user that is enrolled for the first time.
func ensureUser(ctx context.Context, tx *sql.Tx, name mfa.Name) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO users (usr, name) VALUES ($1, $2) ON CONFLICT DO NOTHING`, name.Key().String(), name.String())
	return err
}

// Changed returns missing if r changed nothing.
func Changed(r sql.Result, err, missing error) error {
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 {
		err = missing
	}
	return err
}
