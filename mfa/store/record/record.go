package record

import (
	"math"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/otp"
)

// Account is what memory holds of one user. It is replaced as a whole, except for
// the tokens' next and drift and the devices' version and seen, which mu guards.
type Account struct {
	Name      mfa.Name
	Blocked   bool
	Unblocked int64
	Method    mfa.Method
	Tokens    []Token // in the order of their ids
	Devices   []*device.Device
	Barred    []string // client groups in which push is off: "this was not me"
}

// Token is otp.Token in less memory, its secret sealed.
type Token struct {
	ID               string
	User             mfa.Name
	Sealed           []byte
	Serial, Label    string
	Next             int64
	NotBefore        int64
	Expires, Created int64
	Kind             otp.Kind
	Algorithm        string
	Digits, Period   int32
	Drift            int32
	Once, Doubt      bool
}

// Token returns the account's token of that id, or nil.
func (a *Account) Token(id string) *Token {
	for i := range a.Tokens {
		if a.Tokens[i].ID == id {
			return &a.Tokens[i]
		}
	}
	return nil
}

// Public returns the token without its secret.
func (t *Token) Public() otp.Token {
	return otp.Token{
		ID: t.ID, User: t.User, Kind: t.Kind, Algorithm: t.Algorithm,
		Doubt: t.Doubt, Digits: int(t.Digits), Period: int(t.Period), Next: t.Next, Drift: int(t.Drift),
		Serial: t.Serial, Label: t.Label, NotBefore: FromMicros(t.NotBefore),
		Expires: FromMicros(t.Expires), Once: t.Once, Created: FromMicros(t.Created),
	}
}

// Used notes a use that is on disk in the trail; an older one changes nothing.
func (t *Token) Used(step, drift int64) {
	if step >= t.Next {
		t.Next, t.Drift, t.Doubt = step+1, int32(drift), false
	}
}

// Site is what belongs to no user.
type Site struct {
	Bypasses []Bypass
	Latches  []op.Latch
}

// State is everything that logins need, as of one moment.
type State struct {
	Site
	Accounts map[string]*Account // by the key of the user
	Numbers  map[string]int64    // how far the logs of users are, where the database counts; nil: it does not
	Change   int64               // the last change that it has
	Tail     int64               // how many rows of the trail are not folded
}

// News is what other processes have changed.
type News struct {
	Last     int64               // the last change that it has
	Users    []string            // keys of those that were changed
	Accounts map[string]*Account // what they have now; one that is not here is gone
	Site     *Site               // nil: as before

	// Of a database that other nodes write to as well:
	Reload  bool             // memory must be read anew as a whole; there is nothing else
	Entries []Numbered       // of the logs of users, each user's in order
	Numbers map[string]int64 // how far the logs of Users are
}

// Numbered is an entry of a user's log, as it is read.
type Numbered struct {
	User  string // the key
	N     int64
	Event mfa.Event
}

// Which selects accounts by the key of a user or the id of a device; the zero value
// selects all.
type Which struct{ User, Device string }

// Bypass is a bypass, and when a server last knew it.
type Bypass struct {
	mfa.Bypass
	Seen time.Time // by the wall clock
}

// Selection is which events are read, and in which order. The bounds are exclusive. Steps
// of logins are no lines of the trail and left out, unless it says otherwise.
type Selection struct {
	From, To  int64
	User      string // the key; empty: everybody's
	Client    string // empty: every client's
	Newest    bool   // the newest first
	NoReports bool   // without reports of sessions
	Counting  bool   // only what the limits are rebuilt from, steps too, without reports
	Steps     bool   // the steps too
	NoCodes   bool   // with NoReports: without what used up a code
}

// Since is what sel selects of what was written since t, without an end.
func (sel Selection) Since(t time.Time) Selection {
	sel.From, sel.To = t.UnixMicro()-1, math.MaxInt64
	return sel
}

// Pruning is which of the oldest rows are removed: at most limit with ids above from and
// below before. An event that counts against its user stays from spare on.
type Pruning struct {
	Reports             bool // of the reports of sessions; false: of the events
	From, Before, Spare int64
	Limit               int
}

// Node is one run of a server that shares the database.
type Node struct {
	Run     int64
	Name    string
	Program string        // its version
	Live    bool          // it has given a sign of life within three seconds
	Silence time.Duration // since its last sign of life; negative: it has ended well
	Keys    []string      // names of its sealing keys (package seal)
	Config  string        // fingerprint of its configuration
	Behind  int64         // how many rows of commands its memory does not have yet
}

// RowOverhead is about what a row of the trail takes beside its texts: the ids,
// the mark of a report, the lengths, and its row in the index by user.
const RowOverhead = 64

// Micros is how times are stored; the zero time is 0.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func FromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// Table is a table of a database that is copied.
type Table struct {
	Name    string
	Columns []string
	Rows    int64
}
