package store

import "context"

// Tidy is what the janitor does once a minute.
func (s *Store) Tidy(ctx context.Context) error { return s.db.Tidy(ctx, s.opt.Now(), 0, 0) }
