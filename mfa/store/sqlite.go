package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
	"modernc.org/sqlite"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/otp"
)

// The errors that callers tell apart.
var (
	// ErrNotFound means that what was to be changed or removed is not there.
	ErrNotFound = op.ErrNotFound
	// ErrInUse means that another server has this data_dir.
	ErrInUse = errors.New("data_dir is in use by another server")
	// ErrNotSeen means that a change is on disk, but the server beside this
	// process has not taken it over in time.
	ErrNotSeen = errors.New("written, but the running server has not taken it over")
	// ErrFull means that more rows wait for the disk than the queue holds.
	ErrFull = errors.New("too many events wait for the disk")
	// ErrClosed means that the store was closed.
	ErrClosed = errors.New("store is closed")
	// ErrNotServer means that only the process that serves may do this.
	ErrNotServer = errors.New("only the server uses up codes")
)

// The files in data_dir.
const (
	databaseFile = "radmatch.db"
	keyFile      = "seal.key"
	lockFile     = "lock"    // held by the server; holds its process id
	appliedFile  = "applied" // the last change that the server has seen
)

// Options say which store is opened and how.
type Options struct {
	// Dir is data_dir. It is made (0700) where it is missing. Root must have
	// become its owner, see Owner; else it is ErrOwner.
	Dir string
	// Server takes the lock of data_dir and loads what logins need into memory.
	// Without it the store is a command's, beside a server or not.
	Server bool
	// Logger gets what would be lost otherwise: failed commits and housekeeping.
	// nil: nothing is logged.
	Logger *zap.Logger
	// Keep is how long events are kept; 0: for ever. Only the server prunes.
	Keep time.Duration
	// MaxSize in bytes is what events may fill before the oldest go, and reports
	// of sessions a quarter of it beside them; 0: no bound.
	MaxSize int64
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Tick is a clock that nobody sets; nil: the monotonic one of time.Now.
	Tick func() time.Time
}

// Store is the database. Its methods may be called concurrently.
type Store struct {
	opt  Options
	log  *zap.Logger
	db   *sql.DB // reads, and the writes that are not on the path of a login
	lock *os.File
	ack  *os.File // the file `applied`

	ring atomic.Pointer[keyring]

	wmu    sync.Mutex // held by whoever writes, or replaces accounts
	writer writer     // guarded by wmu
	queue  queue
	marks  marks // of reports of sessions

	prompts openPrompts

	pruner  pruner // the janitor's
	reports reportSize

	lost       int            // events that were not written since the last log line; guarded by wmu
	complaints rate.Sometimes // those lines

	mu       sync.RWMutex
	accounts map[string]*account // by folded name
	devices  map[string]*device.Device
	latches  map[latchKey]time.Time
	unsaved  unsaved // latches and devices that the janitor will write

	bypasses atomic.Pointer[[]bypass] // of a server; nil: none. Stored under wmu

	applied int64        // last change in memory; guarded by wmu
	tail    atomic.Int64 // events that are not folded, about; changed under wmu
	saved   map[string]string

	stop   context.CancelFunc
	done   sync.WaitGroup
	closed sync.Once
}

var (
	_ mfa.Journal   = (*Store)(nil)
	_ mfa.Directory = (*Store)(nil)
	_ mfa.Bypasses  = (*Store)(nil)

	_ mfa.PromptKeeper = (*Store)(nil)
	_ otp.Store        = (*Store)(nil)
	_ device.Store     = (*Store)(nil)
)

// Open opens the database in opt.Dir, makes it where it is missing, and brings
// its schema up to date. As a server it returns when everything that logins
// need is in memory, ErrInUse if another server runs. ctx is for the opening
// alone.
func Open(ctx context.Context, opt Options) (_ *Store, err error) {
	defer wrap(&err, "store "+opt.Dir)
	s := &Store{opt: opt, log: opt.Logger, complaints: rate.Sometimes{Interval: complainEvery}}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	if s.opt.Now == nil {
		s.opt.Now = time.Now
	}
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	if err := s.openFiles(); err != nil {
		return nil, err
	}
	if err := s.openDatabase(ctx); err != nil {
		return nil, err
	}
	if opt.Server {
		if err := s.start(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// openFiles makes the directory and, for a server, takes its lock.
func (s *Store) openFiles() error {
	if s.opt.Dir == "" {
		return errors.New("no directory given")
	}
	dir, err := filepath.Abs(s.opt.Dir)
	if err != nil {
		return err
	}
	s.opt.Dir = dir
	if err := notForeign(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if !s.opt.Server {
		return nil
	}
	if s.lock, err = acquire(s.path(lockFile)); err != nil {
		return err
	}
	s.ack, err = openOwn(s.path(appliedFile))
	return err
}

func (s *Store) openDatabase(ctx context.Context) error {
	if err := s.notLost(); err != nil {
		return err
	}
	// SQLite gives its other files the mode of this one. O_EXCL, because
	// closing a file that SQLite has open would drop its POSIX locks.
	f, err := os.OpenFile(s.path(databaseFile), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	// SQLite's own error does not say that it is the permissions.
	if err := unix.Access(s.path(databaseFile), unix.R_OK|unix.W_OK); err != nil {
		return &os.PathError{Op: "open", Path: s.path(databaseFile), Err: err}
	}
	if s.db, err = sql.Open("sqlite", s.dsn()); err != nil {
		return err
	}
	// No bound: whoever holds wmu must not wait for one who reads the trail.
	s.db.SetMaxIdleConns(4)
	if err := s.migrate(ctx); err != nil {
		return err
	}
	if err := s.openKeys(ctx); err != nil {
		return err
	}
	return s.reform(ctx)
}

// notLost refuses to begin anew beside the keys of a database that was there: an
// empty one knows no methods, and where require_user_match is false whoever has
// none needs no second factor.
func (s *Store) notLost() error {
	keys, err := exists(s.path(keyFile))
	if err != nil || !keys {
		return err
	}
	info, err := os.Stat(s.path(databaseFile))
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		return fmt.Errorf("%s is missing or empty, but %s is there: restore the database, or remove %s to begin anew", databaseFile, keyFile, keyFile)
	}
	return err
}

// dsn is the same for every connection, so that no connection lacks a pragma.
// FULL: a commit returns when the log is synced.
func (s *Store) dsn() string {
	q := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)"},
	}
	u := url.URL{Scheme: "file", Path: s.path(databaseFile), RawQuery: q.Encode()}
	return u.String()
}

func (s *Store) path(name string) string { return filepath.Join(s.opt.Dir, name) }

// start loads the memory and starts the goroutines of a server.
func (s *Store) start(ctx context.Context) error {
	if err := s.loadAll(ctx); err != nil {
		return err
	}
	if err := s.loadMarks(ctx); err != nil {
		return err
	}
	if err := s.openPromptsTable(ctx); err != nil {
		return err
	}
	// Again, behind the tokens: a rekey may have come between.
	if err := s.readKeys(); err != nil {
		return err
	}
	// A database that cannot be written must stop the start, not the first login.
	if err := s.update(ctx, func(*sql.Tx) error { return nil }); err != nil {
		return err
	}
	s.writer.open = func() (conn, error) {
		c, err := new(sqlite.Driver).Open(s.dsn())
		if err != nil {
			return nil, err
		}
		return c.(conn), nil
	}
	s.queue.init()
	run, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.done.Go(s.writeLoop)
	s.done.Go(func() { s.poll(run) })
	s.done.Go(func() { s.janitor(run) })
	return nil
}

// Close waits for the queued events to be on disk, writes what was to be
// written later, and lets go of data_dir. Later calls do nothing.
func (s *Store) Close() (err error) {
	s.closed.Do(func() {
		if s.stop != nil {
			s.stop()
			s.queue.close()
			s.done.Wait()
			err = errors.Join(s.flush(context.Background()), s.flushPrompts(context.Background()))
		}
		err = errors.Join(err, s.release())
	})
	return err
}

func (s *Store) release() error {
	var errs []error
	errs = append(errs, s.writer.close(), s.prompts.close())
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	for _, f := range []*os.File{s.ack, s.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// update runs f in one write transaction.
func (s *Store) update(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// wrap puts what was done before an error. It is deferred.
func wrap(err *error, what string) {
	if *err != nil {
		*err = fmt.Errorf("%s: %w", what, *err)
	}
}

// micros is how times are stored; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
