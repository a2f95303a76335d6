package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/store/health"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/postgres"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/mfa/store/sqlite"
	"github.com/radmatch/radmatch/otp"
)

// The errors that callers tell apart.
var (
	// ErrNotFound means that what was to be changed or removed is not there.
	ErrNotFound = op.ErrNotFound
	// ErrInUse means that another server has this data_dir.
	ErrInUse = datadir.ErrInUse
	// ErrNotSeen means that a change is on disk, but the server beside this
	// process has not taken it over in time.
	ErrNotSeen = datadir.ErrNotSeen
	// ErrDamaged means that the database's file is not as it was written.
	ErrDamaged = sqlite.ErrDamaged
	// ErrFull means that more rows wait for the disk than the queue holds.
	ErrFull = errors.New("too many events wait for the disk")
	// ErrClosed means that the store was closed.
	ErrClosed = errors.New("store is closed")
	// ErrNotServer means that only the process that serves may do this.
	ErrNotServer = errors.New("only the server uses up codes")
)

// Options say which store is opened and how.
type Options struct {
	// Dir is data_dir. It is made (0700) where it is missing. Root must have
	// become its owner, see Owner; otherwise it is ErrOwner.
	Dir string
	// URL of a PostgreSQL database that nodes share; empty: SQLite, in Dir. Its password
	// may be in PasswordFile instead. Standby says what a failover leads to (none, sync or
	// async; empty: found out), Node is the name of this node, and Program its version.
	URL, PasswordFile, Standby string
	Node, Program              string
	// Say is told, in a command, which nodes have not seen a change that is in force there
	// all the same; nil: that is the error ErrNotSeen.
	Say func(text string)
	// Server takes the lock of data_dir and loads what logins need into memory.
	// Without it the store is a command's, beside a server or not.
	Server bool
	// Keys are what seals secrets; nil: the file in Dir.
	Keys *seal.Keys
	// Logger gets what would be lost otherwise: failed commits and housekeeping.
	// nil: nothing is logged.
	Logger *zap.Logger
	// Keep is how long events are kept; 0: without limit. Only the server prunes.
	Keep time.Duration
	// MaxSize in bytes is what events may fill before the oldest go, and reports
	// of sessions a quarter of it beside them; 0: no bound.
	MaxSize int64
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Tick is a clock that is never set; nil: the monotonic one of time.Now.
	Tick func() time.Time
}

// Store is the database. Its methods may be called concurrently.
type Store struct {
	opt   Options
	log   *zap.Logger
	db    Backend
	lock  *os.File // of the folder of a node; nil: db has it, or there is none
	nodes shared   // nil: no other node writes to db
	keys  *seal.Keys

	wmu    sync.Mutex // held by the goroutine that writes, or replaces accounts
	queue  queue
	ledger ledger
	marks  marks // of reports of sessions

	pruner  pruner // the janitor's
	reports reportSize
	health  health.Health

	lost       int            // events that were not written since the last log line; guarded by wmu
	complaints rate.Sometimes // those lines

	mu       sync.RWMutex
	accounts map[string]*record.Account // by folded name
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
	_ mfa.Ledger    = (*Store)(nil)
	_ mfa.Directory = (*Store)(nil)
	_ mfa.Bypasses  = (*Store)(nil)

	_ otp.Store    = (*Store)(nil)
	_ device.Store = (*Store)(nil)
)

// Open opens the database in opt.Dir, makes it where it is missing, and brings
// its schema up to date. As a server it returns when everything that logins
// need is in memory, ErrInUse if another server runs. ctx is only for the opening.
func Open(ctx context.Context, opt Options) (_ *Store, err error) {
	where := opt.Dir
	if opt.URL != "" {
		where = "on PostgreSQL" // the URL may have a password
	}
	defer wrap(&err, "store "+where)
	s, err := newStore(ctx, opt)
	if err == nil && opt.Server {
		if err = s.start(ctx); err != nil {
			err = errors.Join(err, s.Close())
		}
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// newStore opens the database and leaves the rest to start.
func newStore(ctx context.Context, opt Options) (_ *Store, err error) {
	s := &Store{opt: opt, log: opt.Logger, complaints: rate.Sometimes{Interval: complainEvery}}
	s.ledger.init()
	if s.log == nil {
		s.log = zap.NewNop()
	}
	if s.opt.Now == nil {
		s.opt.Now = time.Now
	}
	if opt.URL != "" {
		err = s.openPostgres(ctx)
	} else {
		err = s.openSQLite(ctx)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) openSQLite(ctx context.Context) error {
	db, err := sqlite.Open(ctx, sqlite.Settings{Dir: s.opt.Dir, Server: s.opt.Server, Now: s.opt.Now, Keys: s.opt.Keys})
	if err == nil {
		s.db, s.keys = db, db.Keys
	}
	return err
}

// openPostgres opens a database that nodes share. The folder is a node's own: its lock, and
// what it says of itself to commands beside it.
func (s *Store) openPostgres(ctx context.Context) (err error) {
	if s.opt.Server {
		if err := s.lockFolder(); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				s.lock.Close()
			}
		}()
	}
	keys := s.opt.Keys
	if keys == nil {
		keys = seal.NewKeys(s.opt.Dir)
	}
	db, err := postgres.Open(ctx, postgres.Settings{
		URL: s.opt.URL, PasswordFile: s.opt.PasswordFile, Standby: postgres.Standby(s.opt.Standby),
		Node: s.opt.Node, Program: s.opt.Program, Server: s.opt.Server, Keys: keys, Now: s.opt.Now, Logger: s.log,
	})
	if err == nil {
		s.db, s.nodes, s.keys = db, db, keys
	}
	return err
}

// lockFolder makes the folder of a node and takes its lock.
func (s *Store) lockFolder() error {
	err := datadir.NotForeign(s.opt.Dir)
	if err == nil {
		err = os.MkdirAll(s.opt.Dir, 0o700)
	}
	if err == nil {
		s.lock, err = datadir.Acquire(filepath.Join(s.opt.Dir, datadir.LockFile))
	}
	return err
}

// start loads the memory and starts the goroutines of a server.
func (s *Store) start(ctx context.Context) error {
	if err := s.loadAll(ctx); err != nil {
		return err
	}
	if err := s.loadMarks(ctx); err != nil {
		return err
	}
	// Again, behind the tokens: a rekey may have come between.
	if err := s.keys.Load(); err != nil {
		return err
	}
	s.health.Start(s.tick())
	s.queue.init()
	run, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.done.Go(s.writeLoop)
	s.done.Go(func() { s.poll(run) })
	s.done.Go(func() { s.janitor(run) })
	s.done.Go(func() { s.heartbeat(run) })
	return nil
}

// Close waits for the queued events to be on disk, writes what was to be
// written later, and lets go of data_dir. Later calls do nothing.
func (s *Store) Close() (err error) {
	s.closed.Do(func() {
		if s.stop != nil {
			s.stop()
			s.queue.close()
			s.queue.leaders.Wait()
			s.done.Wait()
			s.commitBatch() // what came while the last leader was at it
			err = s.flush(context.Background())
		}
		err = errors.Join(err, s.db.Close())
		if s.lock != nil {
			err = errors.Join(err, s.lock.Close())
		}
	})
	return err
}

// Ready reports whether a login could be accepted now. Its error says why not, for the
// operator. It answers from memory; soon after it was asked a commit is tried, where there
// was none for a second.
func (s *Store) Ready() error {
	if !s.opt.Server {
		return ErrNotServer
	}
	return s.health.Ready(s.tick())
}

// Backup writes a copy of the database, as of one moment, into file, which must
// not be there or be empty. The server may run. keys is the key file that belongs
// to it. The copy is synced and has been read through.
func (s *Store) Backup(ctx context.Context, file string) (keys []byte, err error) {
	defer wrap(&err, "store: backup")
	return s.db.Backup(ctx, file)
}

// IsOwn reports whether path is one of the files that the store works with.
func (s *Store) IsOwn(path string) bool { return s.db.IsOwn(path) }

// Verify reads the whole database through. ErrDamaged where it is not sound.
func (s *Store) Verify(ctx context.Context) (err error) {
	defer wrap(&err, "store")
	return s.db.Verify(ctx)
}

// IsDamage reports whether the database has found its file damaged.
func IsDamage(err error) bool { return sqlite.IsDamage(err) }

// wrap puts what was done before an error. It is deferred.
func wrap(err *error, what string) {
	if *err != nil {
		*err = fmt.Errorf("%s: %w", what, *err)
	}
}
