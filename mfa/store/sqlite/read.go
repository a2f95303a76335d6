package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/sqlstore"
)

// Marks implements store.Backend.
func (d *DB) Marks(ctx context.Context, since time.Time, limit int) (marks [][]byte, err error) {
	const query = `SELECT mark FROM accounting WHERE id >= $1 ORDER BY id DESC LIMIT $2`
	err = sqlstore.Each(ctx, d.SQL, query, []any{since.UnixMicro(), limit}, func(r *sql.Rows) error {
		var mark []byte
		err := r.Scan(&mark)
		marks = append(marks, mark)
		return err
	})
	return marks, err
}

// Prompts implements store.Backend.
func (d *DB) Prompts(ctx context.Context) (list []record.Prompt, err error) {
	err = sqlstore.Each(ctx, d.SQL, `SELECT id, data FROM prompts ORDER BY id`, nil, func(r *sql.Rows) error {
		var p record.Prompt
		err := r.Scan(&p.ID, &p.Data)
		list = append(list, p)
		return err
	})
	return list, err
}
