package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/otp"
)

// Load implements store.Backend.
func (d *DB) Load(ctx context.Context) (*record.State, error) {
	st := new(record.State)
	return st, d.view(ctx, func(tx *sql.Tx) (err error) {
		if st.Accounts, err = pull(ctx, tx, ""); err != nil {
			return err
		}
		if err := replay(ctx, tx, st.Accounts); err != nil {
			return err
		}
		if err := pullSite(ctx, tx, &st.Site); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT (SELECT coalesce(max(id), 0) FROM changes),
			(SELECT count(*) FROM events WHERE id > `+FoldedMark+`) + (SELECT count(*) FROM accounting WHERE id > `+FoldedMark+`)`).Scan(&st.Change, &st.Tail)
	})
}

// Accounts implements store.Backend.
func (d *DB) Accounts(ctx context.Context, of record.Which) (accounts map[string]*record.Account, err error) {
	var filter string
	var args []any
	switch {
	case of.Device != "":
		filter, args = `WHERE usr IN (SELECT usr FROM devices WHERE id = ?)`, []any{of.Device}
	case of.User != "":
		filter, args = `WHERE usr = ?`, []any{of.User}
	}
	err = d.view(ctx, func(tx *sql.Tx) error {
		if accounts, err = pull(ctx, tx, filter, args...); err != nil {
			return err
		}
		return replay(ctx, tx, accounts)
	})
	return accounts, err
}

// LastChange implements store.Backend. The statement is prepared, and has no context:
// one that can end costs a goroutine a call.
func (d *DB) LastChange() (id int64, err error) {
	err = d.last.QueryRowContext(context.Background()).Scan(&id)
	return id, err
}

// Acknowledge implements store.Backend.
func (d *DB) Acknowledge(change int64) error { return datadir.WriteApplied(d.ack, change) }

// AwaitServer implements store.Backend.
func (d *DB) AwaitServer(ctx context.Context, change int64) error {
	return datadir.AwaitApplied(ctx, d.dir, change)
}

// Changes implements store.Backend.
func (d *DB) Changes(ctx context.Context, after int64, limit int) (*record.News, error) {
	n := &record.News{Last: after}
	return n, d.view(ctx, func(tx *sql.Tx) error {
		const query = `SELECT id, usr FROM changes WHERE id > ? ORDER BY id LIMIT ?`
		err := each(ctx, tx, query, []any{after, limit}, func(r *sql.Rows) error {
			var user sql.NullString
			if err := r.Scan(&n.Last, &user); err != nil {
				return err
			}
			if !user.Valid {
				n.Site = new(record.Site)
			} else {
				n.Users = append(n.Users, user.String)
			}
			return nil
		})
		if err == nil && n.Site != nil {
			err = pullSite(ctx, tx, n.Site)
		}
		if err == nil && len(n.Users) > 0 {
			n.Accounts, err = pull(ctx, tx, `WHERE usr IN (SELECT usr FROM changes WHERE id > ? AND id <= ?)`, after, n.Last)
		}
		return err
	})
}

// pullSite reads what belongs to no user.
func pullSite(ctx context.Context, q querier, st *record.Site) (err error) {
	if st.Bypasses, err = pullBypasses(ctx, q); err == nil {
		st.Latches, err = pullLatches(ctx, q)
	}
	return err
}

// pull reads accounts from q. filter is the end of the statement: everything
// when it is empty, otherwise a condition on the column "user" for args.
func pull(ctx context.Context, q querier, filter string, args ...any) (map[string]*record.Account, error) {
	found := make(map[string]*record.Account)
	at := func(user string) *record.Account {
		a := found[user]
		if a == nil {
			a = &record.Account{Name: mfa.NameOf(user)}
			found[user] = a
		}
		return a
	}
	same := interner{}
	steps := []func() error{
		func() error {
			return each(ctx, q, `SELECT usr, name, blocked, unblocked, method FROM users `+filter, args, func(r *sql.Rows) error {
				var user, name string
				var a record.Account
				if err := r.Scan(&user, &name, &a.Blocked, &a.Unblocked, &a.Method); err != nil {
					return err
				}
				if name == user {
					name = user // one text in memory
				}
				a.Name = mfa.NameOf(name)
				a.Method = mfa.Method(same.text(string(a.Method)))
				found[user] = &a
				return nil
			})
		},
		func() error {
			return each(ctx, q, `SELECT `+tokenColumns+` FROM tokens `+filter+` ORDER BY id`, args, func(r *sql.Rows) error {
				t, user, err := scanToken(r, same)
				if err != nil {
					return err
				}
				a := at(user)
				t.User = a.Name
				a.Tokens = append(a.Tokens, t)
				return nil
			})
		},
		func() error {
			return each(ctx, q, `SELECT `+deviceColumns+` FROM devices `+filter+` ORDER BY added, id`, args, func(r *sql.Rows) error {
				d, user, err := scanDevice(r, same)
				if err != nil {
					return err
				}
				a := at(user)
				d.User = a.Name
				a.Devices = append(a.Devices, d)
				return nil
			})
		},
		func() error {
			return each(ctx, q, `SELECT usr, grp FROM push_blocks `+filter, args, func(r *sql.Rows) error {
				var user, group string
				if err := r.Scan(&user, &group); err != nil {
					return err
				}
				a := at(user)
				a.Barred = append(a.Barred, group)
				return nil
			})
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	// What reform has left under another key counts for no user.
	maps.DeleteFunc(found, func(user string, _ *record.Account) bool { return mfa.NameOf(user).Key().String() != user })
	return found, nil
}

const tokenColumns = `id, usr, kind, secret, algorithm, digits, period, next, drift, serial, label, not_before, expires, once, created`

func scanToken(r *sql.Rows, same interner) (t record.Token, user string, err error) {
	var kind, algorithm, label sql.RawBytes
	err = r.Scan(&t.ID, &user, &kind, &t.Sealed, &algorithm, &t.Digits, &t.Period, &t.Next, &t.Drift,
		&t.Serial, &label, &t.NotBefore, &t.Expires, &t.Once, &t.Created)
	if err != nil {
		return record.Token{}, "", err
	}
	t.Kind, t.Algorithm, t.Label = otp.Kind(same.bytes(kind)), same.bytes(algorithm), same.bytes(label)
	return t, user, nil
}

const deviceColumns = `id, usr, name, key, version, added, seen, provider, passkey, passkey IS NOT NULL, endpoint, web_key, web_auth`

func scanDevice(r *sql.Rows, same interner) (_ *device.Device, user string, err error) {
	var added, seen int64
	var passkey []byte
	var has bool
	d, web := new(device.Device), new(device.WebSubscription)
	err = r.Scan(&d.ID, &user, &d.Name, &d.Key, &d.Version, &added, &seen, &d.Provider, &passkey, &has, &web.Endpoint, &web.Key, &web.Auth)
	if err == nil && has {
		d.Passkey, err = readPasskey(passkey)
	}
	if err != nil {
		return nil, "", err
	}
	if web.Endpoint != "" {
		d.Web = web
	}
	d.Added, d.Seen, d.Provider = record.FromMicros(added), record.FromMicros(seen), same.text(d.Provider)
	return d, user, nil
}

// interner keeps one copy of texts that many tokens share.
type interner map[string]string

func (i interner) bytes(b []byte) string {
	if s, ok := i[string(b)]; ok {
		return s
	}
	return i.text(string(b))
}

func (i interner) text(s string) string {
	if old, ok := i[s]; ok {
		return old
	}
	if len(i) < 10_000 {
		i[s] = s
	}
	return s
}

// each calls f for every row.
func each(ctx context.Context, q querier, query string, args []any, f func(*sql.Rows) error) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// replay brings the accounts' tokens up to date with the uses in the trail that
// are not folded yet.
func replay(ctx context.Context, q querier, accounts map[string]*record.Account) error {
	tokens := make(map[string]*record.Token, len(accounts))
	for _, a := range accounts {
		for i := range a.Tokens {
			tokens[a.Tokens[i].ID] = &a.Tokens[i]
		}
	}
	if len(tokens) == 0 {
		return nil
	}
	const query = `SELECT token, step, coalesce(drift, 0) FROM events WHERE id > ` + FoldedMark + ` AND step IS NOT NULL`
	return each(ctx, q, query, nil, func(r *sql.Rows) error {
		var id sql.RawBytes
		var step, drift int64
		if err := r.Scan(&id, &step, &drift); err != nil {
			return err
		}
		if t := tokens[string(id)]; t != nil {
			t.Used(step, drift)
		}
		return nil
	})
}

var errPasskey = errors.New("passkey is damaged")

// readPasskey reads the column of the same name.
func readPasskey(data []byte) (*device.Passkey, error) {
	p := new(device.Passkey)
	if err := json.Unmarshal(data, p); err != nil || len(p.ID) == 0 || len(p.Key) == 0 {
		// Without it the device could approve with only its own key.
		return nil, errPasskey
	}
	return p, nil
}

// passkeyColumn is what the database keeps of a passkey; NULL for none.
func passkeyColumn(p *device.Passkey) ([]byte, error) {
	if p == nil {
		return nil, nil
	}
	return json.Marshal(p)
}
