package move

import (
	"encoding/binary"
	"fmt"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/postgres"
	"github.com/radmatch/radmatch/mfa/store/record"
)

// The columns of PostgreSQL that rows of SQLite become.
var (
	eventColumns  = []string{"usr", "seq", "run", "n", "at", "kind", "name", "client", "reason", "tries", "token", "step", "drift", "data"}
	reportColumns = []string{"run", "n", "at", "usr", "name", "client", "mark", "interim", "data"}
	promptColumns = []string{"id", "usr", "at", "data"}
)

// toPostgres is a value of SQLite as a column of PostgreSQL takes it.
func toPostgres(v any, c pgColumn) any {
	switch v := v.(type) {
	case int64:
		if c.kind == "boolean" {
			return v != 0
		}
	case string:
		if c.kind == "bytea" {
			return []byte(v)
		}
		return postgres.Text(v)
	case []byte:
		if c.kind == "text" {
			return postgres.Text(string(v))
		}
		if v == nil && c.notNull {
			return []byte{}
		}
	case nil:
		if c.kind == "bytea" && c.notNull { // the driver has nil for no octets
			return []byte{}
		}
	}
	return v
}

// toSQLite is a value of PostgreSQL as SQLite has it.
func toSQLite(v any) any {
	switch v := v.(type) {
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case string:
		return postgres.Untext(v)
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	}
	return v
}

// names are the key of a user and, where that is another text, the name as it was.
func names(user any) (key, name any) {
	text, _ := user.(string)
	if text == "" {
		return nil, nil
	}
	k := mfa.NameOf(text).Key().String()
	if k == "" {
		return nil, text
	}
	if k == text {
		return k, nil
	}
	return k, text
}

// event makes the row of an entry. Those of a user that has an account are numbered, so that
// the log goes on where it was; those of unknown names need none.
func (in *incoming) event(row []any) ([]any, error) {
	id, user, client, reason, tries, token, step, drift, data, kind := row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9]
	key, name := names(user)
	var seq any
	if k, ok := key.(string); ok {
		if n, account := in.numbers[k]; account {
			in.numbers[k] = n + 1
			seq = n + 1
		}
	}
	in.n++
	return []any{key, seq, int64(0), in.n, id, kind, name, client, reason, tries, token, step, drift, data}, nil
}

// report makes the row of a report of a session. The mark of one that is there twice is made
// another: it is there to find retransmissions, which are over.
func (in *incoming) report(row []any) ([]any, error) {
	id, user, client, interim, data := row[0], row[1], row[2], row[4], row[5]
	mark, ok := row[3].([]byte)
	at, isID := id.(int64)
	if !ok || !isID {
		return nil, fmt.Errorf("mark and id are %T and %T", row[3], id)
	}
	if nth, _ := row[6].(int64); nth > 1 {
		mark = binary.BigEndian.AppendUint64(append([]byte(nil), mark...), uint64(at))
	}
	key, name := names(user)
	in.n++
	return []any{int64(0), in.n, id, key, name, client, mark, interim, data}, nil
}

// prompt makes the row of an open prompt, which has its user beside it.
func prompt(row []any) ([]any, error) {
	id, data := row[0], row[1]
	text, ok := data.([]byte)
	if !ok {
		return nil, fmt.Errorf("the data of prompt %v is a %T", id, data)
	}
	p, err := record.DecodePrompt(text)
	if err != nil {
		return nil, err
	}
	return []any{id, p.User.Key().String(), record.Micros(p.Opened), data}, nil
}
