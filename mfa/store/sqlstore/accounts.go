package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/otp"
)

// PullSite reads what belongs to no user.
func PullSite(ctx context.Context, q Querier, st *record.Site) (err error) {
	if st.Bypasses, err = bypasses(ctx, q); err == nil {
		st.Latches, err = latches(ctx, q)
	}
	return err
}

// Pull reads accounts from q. filter is the end of the statement: everything
// when it is empty, otherwise a condition on the column "user" for args.
func Pull(ctx context.Context, q Querier, filter string, args ...any) (map[string]*record.Account, error) {
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
			return Each(ctx, q, `SELECT usr, name, blocked, unblocked, method FROM users `+filter, args, func(r *sql.Rows) error {
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
			return Each(ctx, q, `SELECT `+tokenColumns+` FROM tokens `+filter+` ORDER BY id`, args, func(r *sql.Rows) error {
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
			return Each(ctx, q, `SELECT `+deviceColumns+` FROM devices `+filter+` ORDER BY added, id`, args, func(r *sql.Rows) error {
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
			return Each(ctx, q, `SELECT usr, grp FROM push_blocks `+filter, args, func(r *sql.Rows) error {
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

// Each calls f for every row.
func Each(ctx context.Context, q Querier, query string, args []any, f func(*sql.Rows) error) error {
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
