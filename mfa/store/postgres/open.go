package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/mfa/store/sqlstore"
)

// Standby says what a failover leads to.
type Standby string

// The kinds of standbys.
const (
	// StandbyNone: no server can be promoted that lacks a commit.
	StandbyNone Standby = "none"
	// StandbySync: those that can be promoted confirm each commit. It is made sure of.
	StandbySync Standby = "sync"
	// StandbyAsync: one that is promoted may lack the last commits.
	StandbyAsync Standby = "async"
)

const (
	// connectTimeout bounds one try to connect, to one of the servers.
	connectTimeout = 3 * time.Second
	// maxConnections of database/sql; the writer and the one for states have their own.
	maxConnections = 4
	beatEvery      = time.Second
)

// Settings say which database is opened and how.
type Settings struct {
	// URL of the database, of several servers perhaps. Its password may be in the file
	// PasswordFile instead, which is read for each connection.
	URL          string
	PasswordFile string
	// Standby; empty: sync where the database names synchronous standbys, async otherwise.
	Standby Standby
	Node    string // the name of this server among the nodes
	Program string // its version
	Server  bool   // it serves: it has a run of its own
	Keys    *seal.Keys
	Now     func() time.Time
	Logger  *zap.Logger
}

// DB is the database. The methods that read may be called concurrently; of those that
// write, a server calls one at a time.
type DB struct {
	*sqlstore.DB
	set        Settings
	log        *zap.Logger
	migrations []migration // what this program knows of the schema

	writer writer
	feed   feed
	states states

	mu                 sync.Mutex
	standby            Standby // never empty once connected
	loaded, generation int     // which primary memory was read from, and which is met now
	floor              int64   // what was used up before that may be lost; 0: nothing can be

	offering    chan struct{} // bounds who writes offers at once
	asking      chan struct{} // bounds who looks for devices at once
	size        size
	warned      atomic.Int64           // warnings of the connections of SQL: a commit may not be confirmed
	fingerprint atomic.Pointer[string] // of this node's configuration

	stop context.CancelFunc
	done sync.WaitGroup
}

// Open opens the database, and brings its schema up to date. ctx is only for the opening.
func Open(ctx context.Context, set Settings) (*DB, error) {
	return open(ctx, set, migrations)
}

func open(ctx context.Context, set Settings, files fs.FS) (_ *DB, err error) {
	d := &DB{set: set, log: set.Logger, offering: make(chan struct{}, 2), asking: make(chan struct{}, 1), DB: &sqlstore.DB{
		Keys: set.Keys, Now: set.Now,
		Snapshot: sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
	}}
	if d.log == nil {
		d.log = zap.NewNop()
	}
	d.Trail = trail{d}
	if d.migrations, err = readMigrations(files); err != nil {
		return nil, err
	}
	config, err := d.config(false)
	if err != nil {
		return nil, err
	}
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" {
			d.warned.Add(1)
		}
	}
	d.SQL = stdlib.OpenDB(*config, stdlib.OptionBeforeConnect(d.password))
	d.SQL.SetMaxOpenConns(maxConnections)
	d.SQL.SetMaxIdleConns(maxConnections)
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	if err := d.migrate(ctx); err != nil {
		return nil, err
	}
	if err := notMoved(ctx, d.SQL); err != nil {
		return nil, err
	}
	if err := d.OpenKeys(ctx, "the database"); err != nil {
		return nil, err
	}
	if err := d.firstSecret(ctx); err != nil {
		return nil, err
	}
	if err := d.loadSecret(ctx); err != nil {
		return nil, err
	}
	if set.Server {
		return d, d.serve(ctx)
	}
	return d, nil
}

// Dial makes a connection to copy the whole database, which takes its time. notice is called
// where a commit is not confirmed.
func Dial(ctx context.Context, set Settings, notice func()) (*pgx.Conn, error) {
	d := &DB{set: set}
	config, err := d.config(false)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" {
			notice()
		}
	}
	if err := d.password(ctx, config); err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config)
}

// config is that of a connection; late: a loss of the server may undo what it commits.
func (d *DB) config(late bool) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(d.set.URL)
	if err != nil {
		return nil, errors.New("the URL of the database is not valid") // pgx's error has it, with a password perhaps
	}
	config.ConnectTimeout = connectTimeout
	config.RuntimeParams["application_name"] = "radmatch"
	config.RuntimeParams["timezone"] = "UTC"
	// A command that is stopped in the middle must not hold the log of a user.
	config.RuntimeParams["idle_in_transaction_session_timeout"] = "5s"
	config.RuntimeParams["jit"] = "off" // it takes longer than what it compiles
	config.RuntimeParams["synchronous_commit"] = "on"
	if late {
		config.RuntimeParams["synchronous_commit"] = "off"
	}
	return config, nil
}

// password reads the file, so that a new password needs no restart.
func (d *DB) password(_ context.Context, config *pgx.ConnConfig) error {
	if d.set.PasswordFile == "" {
		return nil
	}
	text, err := os.ReadFile(d.set.PasswordFile)
	config.Password = strings.TrimRight(string(text), "\r\n")
	return err
}

// connect makes a connection of its own.
func (d *DB) connect(ctx context.Context, late bool, notice func(*pgconn.Notice)) (*pgx.Conn, error) {
	config, err := d.config(late)
	if err != nil {
		return nil, err
	}
	if err := d.password(ctx, config); err != nil {
		return nil, err
	}
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if notice != nil {
			notice(n)
		}
	}
	return pgx.ConnectConfig(ctx, config)
}

// firstSecret makes the secret that values are derived from, for a new database.
func (d *DB) firstSecret(ctx context.Context) error {
	var there bool
	if err := d.SQL.QueryRowContext(ctx, `SELECT secret IS NOT NULL FROM site`).Scan(&there); err != nil || there {
		return err
	}
	return d.Update(ctx, func(tx *sql.Tx) error {
		ring, key, err := d.Sealer(ctx, tx)
		if err != nil {
			return err
		}
		return d.setSecret(ctx, tx, ring, key, seal.RandomKey(), ` WHERE secret IS NULL`)
	})
}

// serve registers a run and starts what a server needs.
func (d *DB) serve(ctx context.Context) error {
	if err := d.writer.reconnect(ctx, d); err != nil {
		return err
	}
	run, stop := context.WithCancel(context.Background())
	d.stop = stop
	d.states.init(d.writer.number())
	d.done.Go(func() { d.beat(run) })
	d.done.Go(func() { d.keepStates(run) })
	return nil
}

// Close ends the run.
func (d *DB) Close() error {
	if d.stop != nil {
		d.stop()
		d.done.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
		defer cancel()
		// No command waits for a node that has ended.
		_, _ = d.SQL.ExecContext(ctx, `UPDATE nodes SET beat = '-infinity' WHERE run = $1`, d.writer.number())
	}
	d.writer.close()
	if d.SQL == nil {
		return nil
	}
	return d.SQL.Close()
}

// Backup implements store.Backend.
func (d *DB) Backup(context.Context, string) ([]byte, error) {
	return nil, errors.New("this database is PostgreSQL: back it up as one (pg_dump, or a base backup with its log), and the file of the sealing key apart from it")
}

// Verify implements store.Backend.
func (d *DB) Verify(ctx context.Context) error { return d.SQL.PingContext(ctx) }

// IsOwn implements store.Backend: the database has no files here.
func (d *DB) IsOwn(string) bool { return false }

// Text is s as the database can hold it, Untext what that was made of.
func Text(s string) string   { return text(s) }
func Untext(s string) string { return untext(s) }

// text is s as the database can hold it: a name from the network may be anything. One that
// is no valid text is kept in hexadecimal digits behind a character that none begins with.
func text(s string) string {
	const escape = "\x02"
	if len(s) > maxText {
		sum := sha256.Sum256([]byte(s))
		return fmt.Sprintf("\x03%x", sum)
	}
	if isText(s) {
		return s
	}
	return escape + fmt.Sprintf("%x", s)
}

// maxText is the longest that an index takes, with room.
const maxText = 1000

func isText(s string) bool {
	return strings.ToValidUTF8(s, "") == s && !strings.ContainsRune(s, 0) && !slices.Contains([]string{"\x02", "\x03"}, s[:min(len(s), 1)])
}

// untext is what text made of a name.
func untext(s string) string {
	if len(s) == 0 || s[0] != '\x02' {
		return s
	}
	b := make([]byte, (len(s)-1)/2)
	if _, err := fmt.Sscanf(s[1:], "%x", &b); err != nil {
		return s
	}
	return string(b)
}
