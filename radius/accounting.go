package radius

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/accounting"
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
	Forwarder *accounting.Forwarder // nil: no copy goes to another server
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
	case wire.StatusServer:
		return s.accountingStatus(a, c, count, r, now)
	case wire.AccountingRequest:
	default:
		return discardCode
	}
	i := slices.IndexFunc(a.secrets(c), func(secret *wire.Secret) bool { return secret.VerifyAccounting(p, r.MA) })
	if i < 0 {
		return discardAccountingSignature
	}
	session := accounting.ParseSession(p)
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
		event: s.sessionEvent(a, c, r, session, now), mark: accounting.Mark(outer.Name, p),
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
		if s.refusals.Allow(logKey{client: rep.client, why: discardNotRecorded.String()}, time.Now()) && s.ctx.Err() == nil {
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
	if err := rep.sender.Send(accounting.AppendResponse(o.octets[:0], rep.id, rep.auth, rep.proxy, rep.secret), rep.peer); err != nil && !s.closed.Load() {
		s.log.Warn("an answer was not sent", zap.String("client", rep.client), zap.Error(err))
	}
}

// maxDelay bounds how far back Acct-Delay-Time dates a report.
const maxDelay = 24 * time.Hour

// sessionEvent is the line of the trail for a report. It has the id of the login
// where a Class of ours proves it, or the session was named with the login.
func (s *Server) sessionEvent(a *Arrival, c *client, r *wire.Request, session *mfa.Session, now time.Time) mfa.Event {
	ev := mfa.Event{
		Kind: mfa.EventAccounting, Time: now, Details: mfa.Details{Session: session},
		Origin: mfa.Origin{
			Client: c.Name, Group: c.Policy.Group, User: mfa.NameOf(wire.ToText(r.User)),
			EndUser: string(c.Profile.AppendEndUser(nil, r.Raw, true)), Source: a.Source.String(),
		},
	}
	for typ, v := range wire.Attributes(r.Raw) {
		switch {
		case typ == wire.TypeClass && ev.ID == "":
			ev.ID = accounting.LoginOfClass(s.Accounting.ClassKey, c.Policy.Group, v)
		case typ == wire.TypeAcctDelayTime && len(v) == 4:
			ev.Time = now.Add(-min(time.Duration(binary.BigEndian.Uint32(v))*time.Second, maxDelay))
		}
	}
	if ev.ID == "" {
		ev.ID = s.sessions.Login(s.sessionKey(c, ev.User, r.Session), now)
	}
	return ev
}

// sessionKey is 0 where there is no accounting: then no login is remembered.
func (s *Server) sessionKey(c *client, user mfa.Name, id []byte) uint64 {
	if s.Accounting == nil {
		return 0
	}
	return s.sessions.Key(c.Name, user, id)
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
	case s.turnsAway():
		return keep
	case !count.takeStatus(now):
		return discardStatusRate
	}
	o := s.room()
	defer s.free(o)
	w := wire.NewWriter(o.octets[:0], wire.AccountingResponse, r.ID, r.Auth(), secrets[i])
	w.B = append(w.B, r.Proxy()...)
	if p, err := w.SealAnswer(); err == nil {
		count.status.Add(1)
		a.Sender.Send(p, a.Peer)
	}
	return keep
}
