package radius

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	layeh "layeh.com/radius"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// Recorder keeps what NAS devices report of sessions.
type Recorder interface {
	// RecordSession returns nil when ev is on disk. again means that a report with
	// the same mark, which a retransmission has, is there already; it is kept once.
	// It may be called concurrently.
	RecordSession(ctx context.Context, ev mfa.Event, mark [16]byte) (again bool, err error)
}

// Accounting is what becomes of Accounting-Requests (RFC 2866): verified,
// recorded, acknowledged, and nothing else. No login depends on one.
type Accounting struct {
	Recorder Recorder
	// ClassKey signs the Class attribute that every Access-Accept carries, so that
	// a session can be joined to its login.
	ClassKey  []byte
	Forwarder *Forwarder // nil: no copy goes to another server
}

// maxReports bounds the reports that wait for the disk. It is well below what
// the disk's queue holds, so that logins always find room there.
const maxReports = 1024

// reports are the Accounting-Requests that are being recorded.
type reports struct {
	busy atomic.Int64
	done sync.WaitGroup
}

// report is one Accounting-Request on its way to the disk.
type report struct {
	sender Sender
	peer   Peer
	client string
	count  *counters
	secret *wire.Secret
	id     byte
	auth   [wire.AuthSize]byte
	proxy  []byte

	event  mfa.Event
	mark   [16]byte
	packet []byte // nil: nothing is forwarded
}

// account takes a packet that came to an accounting address through the intake.
// It keeps nothing of p, which it writes to during the call.
func (s *Server) account(a *Arrival, svc *service, c *client, p []byte, now time.Time) discard {
	r := &a.request
	outer, count := c, svc.counters[c.index]
	if why := a.scan(p, s.MaxAttributes); why != keep {
		return why
	}
	switch r.Code {
	case layeh.CodeStatusServer:
		return s.accountingStatus(a, c, count, r, now)
	case layeh.CodeAccountingRequest:
	default:
		return discardCode
	}
	i := slices.IndexFunc(a.secrets(c), func(secret *wire.Secret) bool { return secret.VerifyAccounting(p, r.MA) })
	if i < 0 {
		return discardAccountingSignature
	}
	session := parseSession(p)
	if session == nil {
		return discardAccountingForm
	}
	if !count.takeReport(now) {
		return discardReportRate // the NAS sends it again
	}
	if s.reports.busy.Add(1) > maxReports {
		s.reports.busy.Add(-1)
		return discardOverload // the NAS sends it again
	}
	if c.behind != nil {
		c, count, _ = svc.through(a, c, r, now)
	}
	rep := &report{
		sender: a.Sender, peer: a.Peer, client: c.Name, count: count, secret: a.secrets(outer)[i],
		id: r.ID, auth: [wire.AuthSize]byte(r.Auth()), proxy: r.Proxy(),
		event: s.sessionEvent(a, c, r, session, now), mark: markOf(outer.Name, p),
	}
	if s.Accounting.Forwarder != nil {
		rep.packet = slices.Clone(p)
	}
	s.reports.done.Go(func() { s.record(rep, now) })
	return keep
}

// record brings a report to the disk, then acknowledges it: to the NAS that says
// that it was recorded (RFC 2866 §4.2). A report that was not gets no answer, so
// that it comes again.
func (s *Server) record(rep *report, received time.Time) {
	defer s.reports.busy.Add(-1)
	defer func() {
		if v := recover(); v != nil {
			s.panicked(v, rep.client)
		}
	}()
	again, err := s.Accounting.Recorder.RecordSession(s.ctx, rep.event, rep.mark)
	if err != nil {
		rep.count.discarded[discardNotRecorded].Add(1)
		if s.refusals.allow(logKey{client: rep.client, why: discardNotRecorded.String()}, time.Now()) && s.ctx.Err() == nil {
			s.log.Error("an Accounting-Request is not acknowledged", zap.String("client", rep.client), zap.Error(err))
		}
		return
	}
	if again {
		rep.count.duplicates.Add(1)
	} else {
		rep.count.recorded.Add(1)
		if rep.packet != nil {
			s.Accounting.Forwarder.Forward(rep.packet, received)
		}
	}
	o := s.room()
	defer s.free(o)
	if err := rep.sender.Send(rep.acknowledgement(o.octets[:0]), rep.peer); err != nil && !s.closed.Load() {
		s.log.Warn("an answer was not sent", zap.String("client", rep.client), zap.Error(err))
	}
}

// acknowledgement appends the Accounting-Response. It has no Message-Authenticator:
// that is defined for it nowhere but in answers to Status-Server, and programs
// differ in how they compute it.
func (rep *report) acknowledgement(b []byte) []byte {
	b = append(b, byte(layeh.CodeAccountingResponse), rep.id, 0, 0)
	b = append(b, rep.auth[:]...)
	b = append(b, rep.proxy...) // not longer than the request, where it came from
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	sum := rep.secret.Digest(b)
	copy(b[4:wire.HeaderSize], sum[:])
	return b
}

// accountingStatus answers a Status-Server request on an accounting address
// (RFC 5997 §4.2).
func (s *Server) accountingStatus(a *Arrival, c *client, count *counters, r *wire.Request, now time.Time) discard {
	if !r.Signed {
		return discardUnsignedStatus
	}
	secrets, i := a.secrets(c), 0
	if r.MA != 0 {
		i = slices.IndexFunc(secrets, func(secret *wire.Secret) bool { return secret.Verify(r.Raw, r.MA) })
	}
	switch {
	case i < 0:
		return discardSignature
	case s.draining.Load():
		return keep
	case !count.takeStatus(now):
		return discardStatusRate
	}
	o := s.room()
	defer s.free(o)
	w := wire.NewWriter(o.octets[:0], layeh.CodeAccountingResponse, r.ID, r.Auth(), secrets[i])
	w.B = append(w.B, r.Proxy()...)
	if p, err := w.SealAnswer(); err == nil {
		count.status.Add(1)
		a.Sender.Send(p, a.Peer)
	}
	return keep
}
