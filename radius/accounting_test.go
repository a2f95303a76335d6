package radius

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2866"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/accounting"
	"github.com/radmatch/radmatch/radius/wire"
)

// fakeRecorder is a Recorder in memory.
type fakeRecorder struct {
	mu     sync.Mutex
	events []mfa.Event
	marks  map[[16]byte]bool
	wait   chan struct{} // nil: the disk is at once
	err    error
}

func (f *fakeRecorder) RecordSession(ctx context.Context, ev mfa.Event, mark [16]byte) (bool, error) {
	if f.wait != nil {
		select {
		case <-f.wait:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil || f.marks[mark] {
		return f.err == nil, f.err
	}
	if f.marks == nil {
		f.marks = make(map[[16]byte]bool)
	}
	f.marks[mark] = true
	f.events = append(f.events, ev)
	return false, nil
}

func (f *fakeRecorder) recorded() []mfa.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.events)
}

// accountant is a rig with accounting.
type accountant struct {
	*rig
	recorder *fakeRecorder
}

func newAccountant(t testing.TB) accountant {
	r := newRig(t, func(c *Client) { c.Policy = &mfa.Client{Name: "vpn", Group: "edge"} })
	rec := &fakeRecorder{}
	r.Accounting = &Accounting{Recorder: rec, ClassKey: []byte("key")}
	return accountant{r, rec}
}

func (a accountant) account(datagram []byte) {
	a.Receive(&Arrival{Sender: a.socket, Accounting: true, Peer: Peer{Source: nas}, Packet: bytes.Clone(datagram)})
}

// reportOf is an Accounting-Request of attributes.
func reportOf(id byte, attributes ...[]byte) []byte {
	p := append([]byte{byte(layeh.CodeAccountingRequest), id, 0, 0}, make([]byte, wire.AuthSize)...)
	p = append(p, slices.Concat(attributes...)...)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	wire.NewSecret([]byte(testSecret)).SignAccounting(p)
	return p
}

func integer(typ byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{typ, 6}, n)
}

func TestAccountingPackets(t *testing.T) {
	files, err := filepath.Glob("../testdata/accounting/*.txt")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d packets: got %v; want no error, at least 20 of them", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := readFixture(t, file)
				a := newAccountant(t)
				a.account(f.datagram)
				synctest.Wait()
				got := ""
				if st := a.Stats(); st.Malformed > 0 {
					got = "malformed"
				} else if st.Clients[0].Status > 0 {
					got = "status"
				} else {
					for why := range st.Clients[0].Discarded {
						got = "discard " + why
					}
				}
				for _, ev := range a.recorder.recorded() {
					got = strings.TrimSpace(fmt.Sprintf("%s %s %s", ev.Session.Status, ev.User, ev.Session.ID))
				}
				if got != f.expect {
					t.Errorf("got %q, want %q", got, f.expect)
				}
				sent := a.socket.packets()
				refused := strings.HasPrefix(f.expect, "discard ") || f.expect == "malformed"
				if (len(sent) == 0) != refused || len(a.auth.seen()) > 0 {
					t.Fatalf("%d answers, %d logins", len(sent), len(a.auth.seen()))
				}
				if !refused && f.expect != "status" && !layeh.IsAuthenticResponse(sent[0], f.datagram[:binary.BigEndian.Uint16(f.datagram[2:])], []byte(testSecret)) {
					t.Error("got an Accounting-Response that is not authentic; want an authentic one")
				}
				if f.expect == "status" {
					answer, err := wire.ParseAnswer(sent[0], 7, (*[16]byte)(f.datagram[4:20]), a.secret)
					if err != nil || answer.Code != layeh.CodeAccountingResponse {
						t.Errorf("answer %v: got %v; want no error, Code layeh.CodeAccountingResponse", answer.Code, err)
					}
				}
			})
		})
	}
}

// An Accounting-Response says that the report is on disk.
func TestAcknowledgedWhenRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccountant(t)
		a.recorder.wait = make(chan struct{})
		p := reportOf(1, integer(wire.TypeAcctStatusType, 1), avp(wire.TypeProxyState, "one"), avp(wire.TypeAcctSessionID, "s"), avp(wire.TypeProxyState, "two"))
		a.account(p)
		synctest.Wait()
		if len(a.socket.packets()) > 0 {
			t.Fatal("got an acknowledgement before the report was on disk; want none")
		}
		close(a.recorder.wait)
		synctest.Wait()
		sent := a.socket.packets()
		if len(sent) != 1 || !layeh.IsAuthenticResponse(sent[0], p, []byte(testSecret)) {
			t.Fatalf("answers %x", sent)
		}
		if got, want := sent[0][wire.HeaderSize:], slices.Concat(avp(wire.TypeProxyState, "one"), avp(wire.TypeProxyState, "two")); !bytes.Equal(got, want) {
			t.Errorf("attributes %x, want %x", got, want)
		}
		a.recorder.err = errors.New("disk full")
		a.account(reportOf(2, integer(wire.TypeAcctStatusType, 2)))
		synctest.Wait()
		if len(a.socket.packets()) != 1 {
			t.Error("got an acknowledgement of a report that was not recorded; want none")
		}
		if got := a.stats().Discarded["accounting_not_recorded"]; got != 1 {
			t.Errorf("got %d counted; want 1", got)
		}
	})
}

// A report that is sent again is acknowledged again and recorded once; one that differs in
// anything but the delay and the way is another report.
func TestReportAgain(t *testing.T) {
	base := [][]byte{integer(wire.TypeAcctStatusType, 3), avp(wire.TypeAcctSessionID, "s"), avp(wire.TypeUserName, "nemo")}
	for _, tt := range []struct {
		name   string
		change []byte
		again  bool
	}{
		{"the same", nil, true},
		{"delay", integer(wire.TypeAcctDelayTime, 7), true},
		{"through a proxy", avp(wire.TypeProxyState, "p"), true},
		{"session time", integer(wire.TypeAcctSessionTime, 7), false},
		{"octets", integer(wire.TypeAcctInputOctets, 7), false},
		{"of another NAS", avp(wire.TypeNASIdentifier, "gw2"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccountant(t)
				a.account(reportOf(1, base...))
				synctest.Wait()
				a.account(reportOf(2, append(slices.Clone(base), tt.change)...))
				synctest.Wait()
				n, st := len(a.recorder.recorded()), a.stats()
				if len(a.socket.packets()) != 2 || (n == 1) != tt.again || int(st.Recorded) != n || int(st.Duplicates) != 2-n {
					t.Errorf("%d answers, %d recorded, counted %d and %d", len(a.socket.packets()), n, st.Recorded, st.Duplicates)
				}
			})
		})
	}
}

func TestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccountant(t)
		class := accounting.ClassOf([]byte("key"), "edge", "LOGIN")
		a.account(reportOf(1, integer(wire.TypeAcctStatusType, 2), avp(wire.TypeAcctSessionID, "0000A1"), avp(wire.TypeUserName, "nemo"),
			avp(wire.TypeNASIPAddress, "\xc0\x00\x02\x01"), avp(wire.TypeNASIdentifier, "gw1"), avp(wire.TypeCallingStationID, "198.51.100.3"),
			avp(wire.TypeFramedIPAddress, "\x0a\x08\x00\x07"), avp(wire.TypeClass, "theirs"), avp(wire.TypeClass, class), integer(wire.TypeAcctSessionTime, 61),
			integer(wire.TypeAcctInputOctets, 1), integer(wire.TypeAcctInputGiga, 2), integer(wire.TypeAcctOutputOctets, 3), integer(wire.TypeAcctOutputGiga, 4),
			integer(wire.TypeAcctTerminateCause, 4), integer(wire.TypeAcctDelayTime, 90)))
		synctest.Wait()
		want := mfa.Event{
			ID: "LOGIN", Time: time.Now().Add(-90 * time.Second), Kind: mfa.EventAccounting, Origin: mfa.Origin{Client: "vpn", Group: "edge", User: mfa.NameOf("nemo"), EndUser: "198.51.100.3", Source: nas.String()},
		}
		session := mfa.Session{
			Status: "stop", ID: "0000A1", NAS: "gw1", Address: "10.8.0.7", Duration: 61 * time.Second,
			InOctets: 1 + 2<<32, OutOctets: 3 + 4<<32, Cause: "Idle-Timeout",
		}
		got := a.recorder.recorded()
		if len(got) != 1 || *got[0].Session != session {
			t.Fatalf("got %+v", got[0].Session)
		}
		got[0].Session = nil
		if fmt.Sprint(got[0]) != fmt.Sprint(want) {
			t.Errorf("got  %+v\nwant %+v", got[0], want)
		}
	})
}

// The Class leaves only with an Accept, behind the user's own, and no login is
// rejected because it does not fit.
func TestAcceptHasClass(t *testing.T) {
	long := slices.Repeat([]mfa.Attribute{{Type: wire.TypeReplyMessage, Value: make([]byte, 253)}}, 15)
	for _, tt := range []struct {
		name   string
		d      mfa.Decision
		most   int
		want   string
		accept wire.Code
	}{
		{"accept", mfa.Decision{Outcome: mfa.Accept, LoginID: "LOGIN", Identity: &mfa.Identity{Attributes: []mfa.Attribute{{Type: wire.TypeClass, Value: []byte("staff")}}}}, 0,
			"staff " + accounting.ClassOf([]byte("key"), "edge", "LOGIN"), wire.AccessAccept},
		{"no login", mfa.Decision{Outcome: mfa.Accept}, 0, "", wire.AccessAccept},
		{"reject", mfa.Decision{LoginID: "LOGIN"}, 0, "", wire.AccessReject},
		{"challenge", mfa.Decision{Outcome: mfa.Challenge, LoginID: "LOGIN", State: "s"}, 0, "", wire.AccessChallenge},
		{"full", mfa.Decision{Outcome: mfa.Accept, LoginID: "LOGIN", Identity: &mfa.Identity{Attributes: long}}, 15*255 + wire.HeaderSize + 18 + 20, "", wire.AccessAccept},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccountant(t)
				profile := *a.client.Profile
				profile.MaxAnswer = tt.most
				a.client.Profile = &profile
				a.swap()
				answer := decided(t, a.rig, a.ask(1, 1, nil), tt.d)
				var classes []string
				for _, x := range answer.Attributes() {
					if x.Vendor == 0 && x.Type == wire.TypeClass {
						classes = append(classes, string(x.Value))
					}
				}
				if got := strings.Join(classes, " "); got != tt.want || answer.Code != tt.accept {
					t.Errorf("%v with classes %q, want %q", answer.Code, got, tt.want)
				}
			})
		})
	}
}

// Reports beyond what may wait are shed in silence, and logins go on meanwhile.
func TestAccountingOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccountant(t)
		a.recorder.wait = make(chan struct{})
		for n := range uint32(maxReports + 5) {
			a.account(reportOf(byte(n), integer(wire.TypeAcctStatusType, 1), integer(wire.TypeAcctSessionTime, n)))
		}
		synctest.Wait()
		if got := a.stats().Discarded["overload"]; got != 5 {
			t.Errorf("%d shed, want 5", got)
		}
		a.arrive(a.ask(1, 1, nil))
		synctest.Wait()
		if len(a.auth.seen()) != 1 {
			t.Error("got no login through; want one")
		}
		close(a.recorder.wait)
		synctest.Wait()
		if n := len(a.socket.packets()); n != maxReports {
			t.Errorf("%d acknowledged, want %d", n, maxReports)
		}
	})
}

// TestReportRate: a client that floods the trail with reports is bounded, and no
// other client with it.
func TestReportRate(t *testing.T) {
	flooding, other := newCounters(), newCounters()
	now := time.Unix(1e9, 0)
	for n := range reportBurst {
		if !flooding.takeReport(now) {
			t.Fatalf("refused after %d", n)
		}
	}
	if flooding.takeReport(now) || !other.takeReport(now) {
		t.Error("the flood goes on, or another client is refused with it")
	}
	taken := 0
	for range 10 * 60_000 / 13 { // 60,000 in 13 s
		if now = now.Add(13 * time.Second / 60_000); flooding.takeReport(now) {
			taken++
		}
	}
	if want := int(10 * time.Second / reportInterval); taken > want+1 || taken < want-1 {
		t.Errorf("%d taken in 10 s; want %d", taken, want)
	}

	synctest.Test(t, func(t *testing.T) {
		a := newAccountant(t)
		for n := range uint32(reportBurst + 50) {
			a.account(reportOf(byte(n), integer(wire.TypeAcctStatusType, 1), integer(wire.TypeAcctSessionTime, n)))
			synctest.Wait()
		}
		if got := a.stats().Discarded["accounting_rate"]; got != 50 || len(a.recorder.recorded()) != reportBurst {
			t.Errorf("%d refused, %d recorded; want 50, %d", got, len(a.recorder.recorded()), reportBurst)
		}
	})
}

// A recorder that panics costs one report.
func TestRecorderPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccountant(t)
		a.Accounting.Recorder = nil
		a.account(reportOf(1, integer(wire.TypeAcctStatusType, 1)))
		synctest.Wait()
		if got := a.Stats().Panics; got != 1 || a.reports.busy.Load() != 0 {
			t.Errorf("got %d panics, %d busy; want 1, busy 0", got, a.reports.busy.Load())
		}
	})
}

// A rotated secret: the answer is signed with the one that the device uses.
func TestAccountingSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccountant(t)
		a.client.Secrets = [][]byte{[]byte("a-new-secret"), []byte(testSecret)}
		a.swap()
		p := reportOf(1, integer(wire.TypeAcctStatusType, 1))
		a.account(p)
		synctest.Wait()
		if sent := a.socket.packets(); len(sent) != 1 || !layeh.IsAuthenticResponse(sent[0], p, []byte(testSecret)) {
			t.Errorf("answers %x", sent)
		}
	})
}

// Whatever arrives on an accounting address, the server neither panics nor
// records what is not signed, and agrees with layeh on what is.
func FuzzAccounting(f *testing.F) {
	files, _ := filepath.Glob("../testdata/accounting/*.txt")
	for _, file := range files {
		f.Add(readFixture(f, file).datagram, false)
	}
	f.Add(reportOf(1, integer(wire.TypeAcctStatusType, 2), avp(wire.TypeClass, accounting.ClassOf([]byte("key"), "edge", "LOGIN"))), true)
	f.Fuzz(func(t *testing.T, datagram []byte, sign bool) {
		if p := wire.Trim(datagram); sign && p != nil { // what a client with the secret can send
			p[0] = byte(layeh.CodeAccountingRequest)
			a := wire.NewSecret([]byte(testSecret))
			a.SignAccounting(p)
		}
		a := newAccountant(t)
		a.account(datagram)
		a.reports.done.Wait()
		if a.Stats().Panics > 0 {
			t.Fatal("got a panic of the server; want none")
		}
		for _, ev := range a.recorder.recorded() {
			theirs, err := layeh.Parse(wire.Trim(datagram), []byte(testSecret))
			if err != nil || !layeh.IsAuthenticRequest(wire.Trim(datagram), []byte(testSecret)) {
				t.Fatalf("recorded what layeh refuses: %v", err)
			}
			if id := rfc2866.AcctSessionID_GetString(theirs); ev.Session.ID != wire.ToText([]byte(lastText(theirs, id))) {
				t.Fatalf("session %q, layeh has %q", ev.Session.ID, id)
			}
			if ev.ID != "" && ev.ID != "LOGIN" {
				t.Fatalf("joined to %q", ev.ID)
			}
		}
	})
}

// lastText is the last Acct-Session-Id of p: the one that counts.
func lastText(p *layeh.Packet, text string) string {
	for _, a := range p.Attributes {
		if a.Type == rfc2866.AcctSessionID_Type {
			text = string(a.Attribute)
		}
	}
	return text
}
