package store

import (
	"context"
	"database/sql"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/otp"
)

// account is what memory holds of one user. It is replaced as a whole, but for
// the tokens' next and drift and the devices' version and seen, which mu guards.
type account struct {
	name      mfa.Name
	blocked   bool
	unblocked int64
	method    mfa.Method
	tokens    []token // in the order of their ids
	devices   []*device.Device
	barred    []string // client groups in which push is off: "this was not me"
}

// token is otp.Token in less memory, its secret sealed.
type token struct {
	id               string
	user             mfa.Name
	sealed           []byte
	serial, label    string
	next             int64
	notBefore        int64
	expires, created int64
	kind             otp.Kind
	algorithm        string
	digits, period   int32
	drift            int32
	once             bool
}

// token returns the account's token of that id, or nil.
func (a *account) token(id string) *token {
	for i := range a.tokens {
		if a.tokens[i].id == id {
			return &a.tokens[i]
		}
	}
	return nil
}

// pull reads accounts from q. filter is the end of the statement: everything
// when it is empty, else a condition on the column "user" for args.
func pull(ctx context.Context, q querier, filter string, args ...any) (map[string]*account, error) {
	found := make(map[string]*account)
	at := func(user string) *account {
		a := found[user]
		if a == nil {
			a = &account{name: mfa.NameOf(user)}
			found[user] = a
		}
		return a
	}
	same := interner{}
	steps := []func() error{
		func() error {
			return each(ctx, q, `SELECT user, name, blocked, unblocked, method FROM users `+filter, args, func(r *sql.Rows) error {
				var user, name string
				var a account
				if err := r.Scan(&user, &name, &a.blocked, &a.unblocked, &a.method); err != nil {
					return err
				}
				if name == user {
					name = user // one text in memory
				}
				a.name = mfa.NameOf(name)
				a.method = mfa.Method(same.text(string(a.method)))
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
				t.user = a.name
				a.tokens = append(a.tokens, t)
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
				d.User = a.name
				a.devices = append(a.devices, d)
				return nil
			})
		},
		func() error {
			return each(ctx, q, `SELECT user, grp FROM push_blocks `+filter, args, func(r *sql.Rows) error {
				var user, group string
				if err := r.Scan(&user, &group); err != nil {
					return err
				}
				a := at(user)
				a.barred = append(a.barred, group)
				return nil
			})
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	// What reform has left under another key counts for nobody.
	maps.DeleteFunc(found, func(user string, _ *account) bool { return mfa.NameOf(user).Key().String() != user })
	return found, nil
}

const tokenColumns = `id, user, kind, secret, algorithm, digits, period, next, drift, serial, label, not_before, expires, once, created`

func scanToken(r *sql.Rows, same interner) (t token, user string, err error) {
	var kind, algorithm, label sql.RawBytes
	err = r.Scan(&t.id, &user, &kind, &t.sealed, &algorithm, &t.digits, &t.period, &t.next, &t.drift,
		&t.serial, &label, &t.notBefore, &t.expires, &t.once, &t.created)
	if err != nil {
		return token{}, "", err
	}
	t.kind, t.algorithm, t.label = otp.Kind(same.bytes(kind)), same.bytes(algorithm), same.bytes(label)
	return t, user, nil
}

const deviceColumns = `id, user, name, key, version, added, seen, provider, passkey, passkey IS NOT NULL, endpoint, web_key, web_auth`

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
	d.Added, d.Seen, d.Provider = fromMicros(added), fromMicros(seen), same.text(d.Provider)
	return d, user, nil
}

// public returns the token without its secret.
func (t *token) public() otp.Token {
	return otp.Token{
		ID: t.id, User: t.user, Kind: t.kind, Algorithm: t.algorithm,
		Digits: int(t.digits), Period: int(t.period), Next: t.next, Drift: int(t.drift),
		Serial: t.serial, Label: t.label, NotBefore: fromMicros(t.notBefore),
		Expires: fromMicros(t.expires), Once: t.once, Created: fromMicros(t.created),
	}
}

// used notes a use that is on disk in the trail; an older one changes nothing.
func (t *token) used(step, drift int64) {
	if step >= t.next {
		t.next, t.drift = step+1, int32(drift)
	}
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
func replay(ctx context.Context, q querier, accounts map[string]*account) error {
	tokens := make(map[string]*token, len(accounts))
	for _, a := range accounts {
		for i := range a.tokens {
			tokens[a.tokens[i].id] = &a.tokens[i]
		}
	}
	if len(tokens) == 0 {
		return nil
	}
	const query = `SELECT token, step, coalesce(drift, 0) FROM events WHERE id > ` + foldedMark + ` AND step IS NOT NULL`
	return each(ctx, q, query, nil, func(r *sql.Rows) error {
		var id sql.RawBytes
		var step, drift int64
		if err := r.Scan(&id, &step, &drift); err != nil {
			return err
		}
		if t := tokens[string(id)]; t != nil {
			t.used(step, drift)
		}
		return nil
	})
}

const foldedMark = `(SELECT value FROM meta WHERE key = 'folded')`

// loadAll reads everything that logins need, as of one moment.
func (s *Store) loadAll(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	accounts, err := pull(ctx, tx, "")
	if err != nil {
		return err
	}
	if err := replay(ctx, tx, accounts); err != nil {
		return err
	}
	latches, err := pullLatches(ctx, tx)
	if err != nil {
		return err
	}
	var applied, tail int64
	err = tx.QueryRowContext(ctx, `SELECT (SELECT coalesce(max(id), 0) FROM changes),
		(SELECT count(*) FROM events WHERE id > `+foldedMark+`) + (SELECT count(*) FROM accounting WHERE id > `+foldedMark+`)`).Scan(&applied, &tail)
	if err != nil {
		return err
	}
	s.wmu.Lock()
	defer s.wmu.Unlock()
	if err := s.readBypasses(ctx, tx); err != nil {
		return err
	}
	s.mu.Lock()
	s.accounts, s.devices, s.latches = accounts, devicesOf(accounts), latches
	s.mu.Unlock()
	s.applied = applied
	s.tail.Store(tail)
	return s.acknowledge(applied)
}

// devicesOf returns the devices of all accounts by their ids.
func devicesOf(accounts map[string]*account) map[string]*device.Device {
	devices := make(map[string]*device.Device)
	for _, a := range accounts {
		for _, d := range a.devices {
			devices[d.ID] = d
		}
	}
	return devices
}

// put replaces the accounts of users with what was read, nil for those that are
// gone. Steps that are used in memory stay used. wmu is held.
func (s *Store) put(users []string, read map[string]*account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, user := range users {
		a := read[user]
		if old := s.accounts[user]; old != nil {
			a.inherit(old)
			s.forget(old)
		}
		if a == nil {
			delete(s.accounts, user)
			continue
		}
		s.accounts[user] = a
		for _, d := range a.devices {
			s.devices[d.ID] = d
		}
	}
}

// inherit takes over what memory knows and the disk may not yet.
func (a *account) inherit(old *account) {
	if a == nil {
		return
	}
	for i := range old.tokens {
		o := &old.tokens[i]
		if t := a.token(o.id); t != nil {
			t.used(o.next-1, int64(o.drift))
		}
	}
	for _, o := range old.devices {
		for _, d := range a.devices {
			if d.ID == o.ID && o.Seen.After(d.Seen) {
				d.Version, d.Seen = o.Version, o.Seen
			}
			if d.ID == o.ID && samePasskey(o, d) {
				d.Passkey = o.Passkey // its count is newer
			}
		}
	}
}

func (s *Store) forget(a *account) {
	for _, d := range a.devices {
		delete(s.devices, d.ID)
	}
}

// view calls f with the account of a user, nil for an unknown one: the server's
// from memory under mu, a command's as the database has it now.
func (s *Store) view(ctx context.Context, user mfa.Name, f func(*account)) error {
	key := user.Key().String()
	if s.opt.Server {
		s.mu.RLock()
		defer s.mu.RUnlock()
		f(s.accounts[key])
		return nil
	}
	accounts, err := s.read(ctx, "WHERE user = ?", key)
	if err == nil {
		f(accounts[key])
	}
	return err
}

// read reads accounts as of now, the uses that are not folded included.
func (s *Store) read(ctx context.Context, filter string, args ...any) (map[string]*account, error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	accounts, err := pull(ctx, tx, filter, args...)
	if err != nil {
		return nil, err
	}
	return accounts, replay(ctx, tx, accounts)
}

// User implements mfa.Directory.
func (s *Store) User(ctx context.Context, name mfa.Name) (mfa.User, error) {
	u := mfa.User{Name: name}
	now := micros(s.opt.Now())
	err := s.view(ctx, name, func(a *account) {
		if a == nil {
			return
		}
		u = mfa.User{
			Name: a.name, Blocked: a.blocked, Devices: len(a.devices), Default: a.method,
			PushBlocked: slices.Clone(a.barred), Unblocked: fromMicros(a.unblocked),
		}
		if a.unblocked > now { // the clock was set back: it would forgive wrong codes until it is there again
			u.Unblocked = time.Time{}
		}
		for _, d := range a.devices {
			if d.Provider != "" {
				u.Elsewhere = append(u.Elsewhere, d.Provider)
			}
		}
		for i := range a.tokens {
			t := &a.tokens[i]
			if t.kind != otp.Pass {
				u.Codes++
				continue
			}
			u.HasPass = true
			if t.notBefore <= now && now < t.expires && (!t.once || t.next == 0) {
				u.Pass = true
			}
		}
	})
	if err != nil {
		return mfa.User{}, err
	}
	return u, nil
}

// Users returns the names of all users that the store knows, sorted.
func (s *Store) Users(ctx context.Context) ([]mfa.Name, error) {
	var names []mfa.Name
	err := each(ctx, s.db, `SELECT name FROM users ORDER BY user`, nil, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		names = append(names, mfa.NameOf(name))
		return err
	})
	return names, err
}

// sorted returns the accounts in the order of their keys.
func sorted(accounts map[string]*account) []*account {
	list := make([]*account, 0, len(accounts))
	for _, user := range slices.Sorted(maps.Keys(accounts)) {
		list = append(list, accounts[user])
	}
	return list
}

type latchKey struct {
	client string
	addr   netip.Addr
}

func pullLatches(ctx context.Context, q querier) (map[latchKey]time.Time, error) {
	latches := make(map[latchKey]time.Time)
	err := each(ctx, q, `SELECT client, addr, since FROM latches`, nil, func(r *sql.Rows) error {
		var client, addr string
		var since int64
		if err := r.Scan(&client, &addr, &since); err != nil {
			return err
		}
		a, err := netip.ParseAddr(addr)
		if err != nil {
			return err
		}
		latches[latchKey{strings.Clone(client), a}] = fromMicros(since)
		return nil
	})
	return latches, err
}
