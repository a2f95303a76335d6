package store

import (
	"context"
	"slices"
	"strings"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/sqlite"
)

// Backup writes a copy of the database, as of one moment, into file, which must
// not be there or be empty. The server may run. keys is the key file that belongs
// to it. The copy is synced and has been read through.
func (s *Store) Backup(ctx context.Context, file string) (keys []byte, err error) {
	defer wrap(&err, "store: backup")
	return s.db.Backup(ctx, file)
}

// Note writes an administrative event that changes nothing.
func (s *Store) Note(ctx context.Context, ev mfa.Event) (err error) {
	defer wrap(&err, "store: event")
	_, err = s.Apply(ctx, ev)
	return err
}

// IsOwn reports whether path is one of the files that the store works with.
func (s *Store) IsOwn(path string) bool { return s.db.IsOwn(path) }

// Verify reads the whole database through. ErrDamaged where it is not sound.
func (s *Store) Verify(ctx context.Context) (err error) {
	defer wrap(&err, "store")
	return s.db.Verify(ctx)
}

// Clash is a user who was several before names had a form.
type Clash struct {
	User   mfa.Name
	Others []string // keys whose methods and blocks count for no user
}

// Clashes returns the users whose names were kept apart and are one.
func (s *Store) Clashes(ctx context.Context) (list []Clash, err error) {
	defer wrap(&err, "store: names")
	odd, err := s.db.OddKeys(ctx)
	for form, keys := range odd {
		if form != "" { // no name at all: it blocks no other name
			list = append(list, Clash{mfa.NameOf(form), keys})
		}
	}
	slices.SortFunc(list, func(a, b Clash) int { return strings.Compare(a.User.String(), b.User.String()) })
	return list, err
}

// ErrDamaged means that the database's file is not as it was written.
var ErrDamaged = sqlite.ErrDamaged

// IsDamage reports whether the database has found its file damaged.
func IsDamage(err error) bool { return sqlite.IsDamage(err) }
