package store

import (
	"context"
	"iter"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/postgres"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/sqlite"
)

// Backend is the database below memory, write queue and queries. The methods that read may be called
// concurrently; a server calls one of those that write at a time (Store.wmu).
type Backend interface {
	changer
	rememberer
	trail
	sweeper
	reader
	keyholder

	// Backup copies the database, as of one moment, into a file, and returns the keys that
	// belong to it. Verify reads it through. IsOwn reports whether a path is one of its files.
	Backup(ctx context.Context, file string) (keys []byte, err error)
	Verify(ctx context.Context) error
	IsOwn(path string) bool
	// Close lets go of the database, and of the right to serve it.
	Close() error
}

var _ Backend = (*sqlite.DB)(nil)

// shared is what a Backend has that other nodes write to as well, beside what mfa.Site asks
// of a store.
type shared interface {
	NewState() string
	KeepState(s mfa.OpenState)
	FindState(ctx context.Context, state string) (*mfa.OpenState, error)
	Entries(ctx context.Context, user mfa.Name, login string) ([]mfa.Event, error)
	Derive(purpose, data string) []byte
	Run() string
	Gone(ctx context.Context, run string) bool
	// Announce tells the others the fingerprint of this node's configuration. Nodes are all of
	// the last day, the newest run first.
	Announce(config string) error
	Nodes(ctx context.Context) ([]record.Node, error)
	// ClockOffset is how far the clock here is ahead of that of the database.
	ClockOffset(ctx context.Context) (time.Duration, error)
	// Since reads what came to the logs of users after some numbers, with the accounts as
	// they are then.
	Since(ctx context.Context, after map[string]int64) (*record.News, error)
	// HasDevice reports whether a device is registered, be it at another node a moment ago.
	HasDevice(ctx context.Context, id string) (bool, error)
	Certificates
	Offers
}

// Certificates keeps the certificates of a web door for all servers of a site, as
// front.Certificates says.
type Certificates interface {
	Certificate(ctx context.Context, name string) ([]byte, error)
	KeepCertificate(ctx context.Context, name string, data []byte) error
	CertificateNames(ctx context.Context) ([]string, error)
	MayOrder(ctx context.Context, authority string) (bool, error)
}

// Offers keeps for all servers of a site what one request leaves for the one that answers it,
// as web.Offers says.
type Offers interface {
	KeepOffer(ctx context.Context, key string, data []byte, life time.Duration) (kept bool, err error)
	TakeOffer(ctx context.Context, key string) ([]byte, error)
}

var (
	_ Backend = (*postgres.DB)(nil)
	_ shared  = (*postgres.DB)(nil)
)

// changer writes, each call in one commit that is on disk when it returns nil.
type changer interface {
	// Apply applies ops with their event, or none of it. Without an operation the event
	// stands for itself, and no server hears of it.
	Apply(ctx context.Context, ev mfa.Event, ops ...op.Op) (op.Done, error)
	// Append writes rows of the trail, with what they say of push blocks, wrong codes and
	// open prompts. It is the path of a login. A row that has a number is left out, and
	// kept[i] false, where that number is taken, or what it was decided on is not what the
	// database has: memory must read it before anything of that user is appended. kept nil:
	// all are kept. There is one row of a user with a number at most. After an error it is
	// unknown whether they are on disk; the database resolves that before it writes again.
	Append(rows []record.Row) (kept []bool, err error)
	// Keep writes notes.
	Keep(ctx context.Context, notes ...op.Note) error
	// Beat commits something that changes nothing: an error says why no login could be
	// accepted now.
	Beat(ctx context.Context) error
}

// rememberer is what a server's memory is made from.
type rememberer interface {
	// Load reads everything that logins need, as of one moment.
	Load(ctx context.Context) (*record.State, error)
	// Accounts reads some accounts as of now, by the keys of their users.
	Accounts(ctx context.Context, of record.Which) (map[string]*record.Account, error)
	// LastChange is the last change of all. Told receives when there may be another one, and is
	// closed when it no longer can; nil: a server asks every 20 ms.
	LastChange() (int64, error)
	Told() <-chan struct{}
	// Changes reads what at most limit changes after one have changed.
	Changes(ctx context.Context, after int64, limit int) (*record.News, error)
	// Acknowledge tells commands that memory has all changes up to one; AwaitServer waits
	// for that in a command, where a server runs. datadir.ErrNotSeen if it takes too long.
	Acknowledge(change int64) error
	AwaitServer(ctx context.Context, change int64) error
}

// trail is the audit trail.
type trail interface {
	// Events yields what sel selects. An error is the last that it yields.
	Events(ctx context.Context, sel record.Selection) iter.Seq2[record.Entry, error]
	// LastEvent is the place of the newest entry, 0 for none.
	LastEvent(ctx context.Context) (int64, error)
}

// sweeper does what is off the path of a login, some rows at a call.
type sweeper interface {
	// Fold brings at most limit rows of the trail into what is found by an index, and
	// returns how many.
	Fold(ctx context.Context, limit int) (int, error)
	// Thin looks at the next limit folded reports from before a time, removes the interim
	// ones, and returns how many it looked at and how many octets that freed.
	Thin(ctx context.Context, before time.Time, limit int) (n int, freed int64, err error)
	// Prune removes rows of the trail. last is where to go on.
	Prune(ctx context.Context, p record.Pruning) (n int, last, freed int64, err error)
	// Tidy removes invitations that are over, and changes up to one except for the last keep.
	Tidy(ctx context.Context, now time.Time, change int64, keep int) error
	// Clock is up to when the clock was trusted (op.SetClock), and when the oldest row of
	// the trail was written; zero for none.
	Clock(ctx context.Context) (trusted, oldest time.Time, err error)
	// Size is what the database fills, OthersSize what everything but the trail does, and
	// ReportsSize what the reports up to an id do.
	Size(ctx context.Context) (int64, error)
	OthersSize(ctx context.Context) (int64, error)
	ReportsSize(ctx context.Context, last int64) (int64, error)
}

// reader reads what is asked for seldom.
type reader interface {
	// Names are those of all users, sorted. OddKeys are the keys that are no forms of
	// names, by the form that they would have.
	Names(ctx context.Context) ([]mfa.Name, error)
	OddKeys(ctx context.Context) (map[string][]string, error)
	Invitations(ctx context.Context) ([]device.Invitation, error)
	// Invitation returns a valid invitation, or device.ErrInvitation.
	Invitation(ctx context.Context, hash [32]byte) (device.Invitation, error)
	Bypasses(ctx context.Context) ([]record.Bypass, error)
	Latches(ctx context.Context) ([]op.Latch, error)
	WrongCodes(ctx context.Context) (map[mfa.NameKey]mfa.WrongCodes, error)
	Stats(ctx context.Context) ([][]byte, error)
	Prompts(ctx context.Context) ([]record.Prompt, error)
	// Marks are those of the newest reports since a time, at most limit.
	Marks(ctx context.Context, since time.Time, limit int) ([][]byte, error)
	ClassKey(ctx context.Context) ([]byte, error)
}

// keyholder knows what the keys of package seal are used for.
type keyholder interface {
	// WebPushKey is sealed; nil: there is none yet.
	WebPushKey(ctx context.Context) ([]byte, error)
	// KeysInUse are the ids of the keys that something is sealed with.
	KeysInUse(ctx context.Context) ([]byte, error)
	// Lacking are the servers that run, as an operator knows them, and do not have a key, by
	// its name in package seal.
	Lacking(ctx context.Context, key string) ([]string, error)
	// Exclusive calls f while nothing, in this process or another, can seal anything.
	Exclusive(ctx context.Context, f func() error) error
}
