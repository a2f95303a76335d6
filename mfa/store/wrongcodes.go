package store

import (
	"context"
	"database/sql"
	"database/sql/driver"

	"github.com/radmatch/radmatch/mfa"
)

const insertWrong = `INSERT OR REPLACE INTO wrong_codes (user, row, locks, last, since, until) VALUES (?, ?, ?, ?, ?, ?)`

// wrongCodes writes what the event of r says of its user's wrong codes.
func (w *writer) wrongCodes(r *row) error {
	if r.wrong == nil {
		return nil
	}
	key := mfa.NameOf(r.user).Key().String()
	if r.wrong.Row == 0 {
		return w.exec(stmtRight, driver.NamedValue{Ordinal: 1, Value: key})
	}
	values := [...]driver.Value{
		key, int64(r.wrong.Row), int64(r.wrong.Locks),
		micros(r.wrong.Last), micros(r.wrong.Since), micros(r.wrong.Until),
	}
	args := make([]driver.NamedValue, len(values))
	for i, v := range values {
		args[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return w.exec(stmtWrong, args...)
}

// WrongCodes returns the wrong codes of all users who have some, by the form of the name.
func (s *Store) WrongCodes(ctx context.Context) (_ map[mfa.NameKey]mfa.WrongCodes, err error) {
	defer wrap(&err, "store: wrong codes")
	all := make(map[mfa.NameKey]mfa.WrongCodes)
	err = each(ctx, s.db, `SELECT user, row, locks, last, since, until FROM wrong_codes`, nil, func(r *sql.Rows) error {
		var user string
		var w mfa.WrongCodes
		var last, since, until int64
		err := r.Scan(&user, &w.Row, &w.Locks, &last, &since, &until)
		w.Last, w.Since, w.Until = fromMicros(last), fromMicros(since), fromMicros(until)
		all[mfa.NameOf(user).Key()] = w
		return err
	})
	return all, err
}
