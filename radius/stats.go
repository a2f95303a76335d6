package radius

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// Stats is a snapshot of the server's counters since it was made.
type Stats struct {
	Pending   int    // requests without a decision now
	Panics    uint64 // bugs: each has a log line with a stack
	Unknown   uint64 // datagrams from no client
	Malformed uint64 // datagrams without a whole RADIUS header
	Clients   []ClientStats
}

// ClientStats are the counters of one client. They survive a reload.
type ClientStats struct {
	Name       string
	Pending    int
	Packets    uint64 // with a whole header, retransmissions included
	Signed     uint64 // new Access-Requests with a valid Message-Authenticator, except those of our tools
	Unsigned   uint64 // new requests without one
	Duplicates uint64 // retransmissions, answered again or dropped
	Superseded uint64 // requests whose identifier was reused before the decision
	Status     uint64 // Status-Server requests answered
	Recorded   uint64 // Accounting-Requests recorded, retransmissions aside
	Accepted   uint64
	Rejected   uint64
	Challenged uint64
	Silent     uint64 // decided, and deliberately not answered
	// UnsignedFrom are the addresses from which unsigned logins were accepted lately.
	UnsignedFrom []UnsignedSource
	Late         uint64            // answered when the client, by its NAS timeout, no longer waited
	Discarded    map[string]uint64 // failed intake, by reason; only those above zero
	LatencySum   time.Duration     // from receipt to the first answer, over Accepted+Rejected+Challenged
	LatencyMax   time.Duration
	LastSeen     time.Time // zero: never
}

// discard is why a datagram of a known client gets no answer.
type discard int

const (
	keep discard = iota // not discarded
	discardAttributes
	discardTooMany
	discardCode
	discardSignatureForm
	discardUnsigned
	discardUnsignedProxy
	discardUnsignedEAP
	discardUnsignedStatus
	discardSignature
	discardTakeover
	discardStale
	discardOverload
	discardStatusRate
	discardAccountingSignature
	discardAccountingForm
	discardNotRecorded
	discardReportRate
	discardReasons
)

var discardNames = [discardReasons]string{
	discardAttributes:          "malformed_attributes",
	discardTooMany:             "too_many_attributes",
	discardCode:                "unexpected_code",
	discardSignatureForm:       "malformed_message_authenticator",
	discardUnsigned:            "unsigned",
	discardUnsignedProxy:       "unsigned_proxy_state",
	discardUnsignedEAP:         "unsigned_eap",
	discardUnsignedStatus:      "unsigned_status_server",
	discardSignature:           "wrong_message_authenticator",
	discardTakeover:            "unsigned_reuse_of_signed_identifier",
	discardStale:               "client_waits_no_more",
	discardOverload:            "overload",
	discardStatusRate:          "status_server_rate",
	discardAccountingSignature: "wrong_accounting_authenticator",
	discardAccountingForm:      "malformed_accounting",
	discardNotRecorded:         "accounting_not_recorded",
	discardReportRate:          "accounting_rate",
}

// discardOf is the reason for an error of a scan.
func discardOf(err error) discard {
	switch err {
	case nil:
		return keep
	case wire.ErrTooMany:
		return discardTooMany
	case wire.ErrSignatureForm:
		return discardSignatureForm
	}
	return discardAttributes
}

func (d discard) String() string { return discardNames[d] }

// counters are what a server knows of one client name.
type counters struct {
	pending                                           atomic.Int64
	delayed, delayedUnsigned                          atomic.Int64 // see delays
	packets, signed, unsigned, duplicates, superseded atomic.Uint64
	status, accepted, rejected, challenged, silent    atomic.Uint64
	recorded, late                                    atomic.Uint64
	discarded                                         [discardReasons]atomic.Uint64
	unsignedFrom                                      unsignedSources
	latencySum, latencyMax, lastSeen                  atomic.Int64
	statusRate, reportRate                            *rate.Limiter
}

func newCounters() *counters {
	return &counters{
		statusRate: rate.NewLimiter(rate.Every(statusInterval), statusBurst),
		reportRate: rate.NewLimiter(rate.Every(reportInterval), reportBurst),
	}
}

func (c *counters) snapshot(name string, now time.Time) ClientStats {
	s := ClientStats{
		Name:         name,
		Pending:      int(c.pending.Load()),
		Packets:      c.packets.Load(),
		Signed:       c.signed.Load(),
		Unsigned:     c.unsigned.Load(),
		Duplicates:   c.duplicates.Load(),
		Superseded:   c.superseded.Load(),
		Status:       c.status.Load(),
		Recorded:     c.recorded.Load(),
		Accepted:     c.accepted.Load(),
		Rejected:     c.rejected.Load(),
		Challenged:   c.challenged.Load(),
		Silent:       c.silent.Load(),
		Late:         c.late.Load(),
		UnsignedFrom: c.unsignedFrom.lately(now),
		Discarded:    make(map[string]uint64),
		LatencySum:   time.Duration(c.latencySum.Load()),
		LatencyMax:   time.Duration(c.latencyMax.Load()),
	}
	for d := keep + 1; d < discardReasons; d++ {
		if n := c.discarded[d].Load(); n > 0 {
			s.Discarded[d.String()] = n
		}
	}
	if at := c.lastSeen.Load(); at != 0 {
		s.LastSeen = time.Unix(0, at)
	}
	return s
}

// ended counts a finished request. A superseded one got no answer, whatever the
// decision was.
func (c *counters) ended(o mfa.Outcome, took time.Duration, current bool) {
	switch {
	case !current:
		c.superseded.Add(1)
		return
	case o == mfa.Discard:
		c.silent.Add(1)
		return
	case o == mfa.Accept:
		c.accepted.Add(1)
	case o == mfa.Challenge:
		c.challenged.Add(1)
	default:
		c.rejected.Add(1)
	}
	c.latencySum.Add(int64(took))
	for {
		most := c.latencyMax.Load()
		if int64(took) <= most || c.latencyMax.CompareAndSwap(most, int64(took)) {
			return
		}
	}
}

// What one client may send, in a burst and on average. A Status-Server probe is
// signed by the client, but a captured one can be sent again. Reports of sessions
// are rows on disk: ten thousand sessions may end at once, but a client that goes
// on so floods the trail.
const (
	statusInterval = 50 * time.Millisecond
	statusBurst    = 21
	reportInterval = 5 * time.Millisecond
	reportBurst    = 10_001
)

// takeStatus reports whether a Status-Server request may be answered now.
func (c *counters) takeStatus(now time.Time) bool {
	return c.statusRate.AllowN(now, 1)
}

// takeReport reports whether a report of a session may be recorded now.
func (c *counters) takeReport(now time.Time) bool {
	return c.reportRate.AllowN(now, 1)
}

// Stats returns the counters now. It may be called at any time.
func (s *Server) Stats() Stats {
	st := Stats{
		Pending:   int(s.pending.Load()),
		Panics:    s.panics.Load(),
		Unknown:   s.unknown.Load(),
		Malformed: s.malformed.Load(),
	}
	if svc := s.service.Load(); svc != nil {
		now := time.Now()
		for _, c := range svc.Table.clients {
			st.Clients = append(st.Clients, svc.counters[c.index].snapshot(c.Name, now))
		}
	}
	slices.SortFunc(st.Clients, func(a, b ClientStats) int { return strings.Compare(a.Name, b.Name) })
	return st
}
