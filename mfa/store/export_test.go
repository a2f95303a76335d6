package store

import (
	"context"
	"time"

	"github.com/radmatch/radmatch/mfa/store/record"
)

// Tidy is what the janitor does once a minute.
func (s *Store) Tidy(ctx context.Context) error { return s.db.Tidy(ctx, s.opt.Now(), 0, 0) }

// Fold folds all that is there.
func (s *Store) Fold(ctx context.Context) error {
	for {
		if n, err := s.fold(ctx); err != nil || n < chunk {
			return err
		}
	}
}

// PruneAll removes all from before a time, and returns how many rows.
func (s *Store) PruneAll(ctx context.Context, before time.Time) (all int, err error) {
	for _, reports := range []bool{true, false} {
		p := record.Pruning{Reports: reports, Before: before.UnixMicro(), Spare: before.UnixMicro()}
		n, err := s.pruneTable(ctx, p, func(int64) bool { return true })
		if all += n; err != nil {
			return all, err
		}
	}
	return all, nil
}

// Thinned removes the interim reports from before a time.
func (s *Store) Thinned(ctx context.Context, before time.Time) (n int, freed int64, err error) {
	return s.db.Thin(ctx, before, chunk)
}

// Sizes are those of the database, of all but the trail in it, and of the reports.
func (s *Store) Sizes(ctx context.Context) (all, others, reports int64, err error) {
	if all, err = s.db.Size(ctx); err == nil {
		if others, err = s.db.OthersSize(ctx); err == nil {
			reports, err = s.db.ReportsSize(ctx, 1<<62)
		}
	}
	return all, others, reports, err
}
