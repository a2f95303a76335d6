package radius

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

func TestRetransmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		p := r.ask(1, 1, nil)
		for range 3 {
			r.arrive(p)
			synctest.Wait()
		}
		if n := len(r.auth.seen()); n != 1 {
			t.Fatalf("one login was handed over %d times; want 1", n)
		}
		if n := len(r.socket.packets()); n != 0 {
			t.Fatalf("got %d answers before the decision; want 0", n)
		}
		r.auth.seen()[0].reply(mfa.Decision{Outcome: mfa.Accept})
		time.Sleep(keepAnswer - time.Second)
		r.arrive(p)
		synctest.Wait()
		sent := r.socket.packets()
		if len(sent) != 2 || !bytes.Equal(sent[0], sent[1]) {
			t.Fatalf("%d answers, want the same twice", len(sent))
		}
		if got := r.answer(0, 1, 1); got.Code != wire.AccessAccept {
			t.Errorf("got %s", got.Code)
		}
		if st := r.stats(); st.Duplicates != 3 || st.Accepted != 1 || st.Signed != 1 || st.Pending != 0 {
			t.Errorf("counters: got %+v; want Duplicates 3, Accepted 1, Signed 1, Pending 0", st)
		}
		time.Sleep(2 * time.Second)
		r.arrive(p)
		synctest.Wait()
		if n := len(r.auth.seen()); n != 2 {
			t.Errorf("after 30 s it must be a new request; handed over %d times; want 2", n)
		}
	})
}

func TestSilenceStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.auth.then = func(_ *mfa.Request, reply func(mfa.Decision)) { reply(mfa.Decision{Outcome: mfa.Discard}) }
		for range 3 {
			r.arrive(r.ask(1, 1, nil))
			synctest.Wait()
		}
		if calls, sent := len(r.auth.seen()), len(r.socket.packets()); calls != 1 || sent != 0 {
			t.Errorf("%d calls and %d answers, want 1 and 0", calls, sent)
		}
		if st := r.stats(); st.Silent != 1 {
			t.Errorf("counters: got %+v; want Silent 1", st)
		}
	})
}

func TestSupersede(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.arrive(r.ask(1, 1, nil))
		synctest.Wait()
		r.arrive(r.ask(1, 2, nil))
		synctest.Wait()
		calls := r.auth.seen()
		if len(calls) != 2 || !calls[0].Superseded() || calls[1].Superseded() {
			t.Fatalf("got %d calls; the first must be superseded, the second not; want 2 of them, Superseded true, Superseded false", len(calls))
		}
		calls[0].reply(mfa.Decision{Outcome: mfa.Accept})
		if n := len(r.socket.packets()); n != 0 {
			t.Fatal("got an answer to a superseded request; want none")
		}
		calls[1].reply(mfa.Decision{Outcome: mfa.Accept})
		r.arrive(r.ask(1, 2, nil))
		if n := len(r.socket.packets()); n != 2 {
			t.Fatalf("%d answers, want 2", n)
		}
		r.answer(0, 1, 2)
		if st := r.stats(); st.Superseded != 1 || st.Accepted != 1 || st.Pending != 0 {
			t.Errorf("counters: got %+v; want Superseded 1, Accepted 1, Pending 0", st)
		}
	})
}

func TestUnsignedNeverSupersedesSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Client) { c.RequireMA = RequireNo })
		r.arrive(r.ask(1, 1, nil))
		synctest.Wait()
		unsigned := raw(wire.AccessRequest, 1, 2, avp(wire.TypeUserName, "nemo"), papOf("x", 2, testSecret))
		r.arrive(unsigned)
		synctest.Wait()
		calls := r.auth.seen()
		if len(calls) != 1 || calls[0].Superseded() {
			t.Fatal("an unsigned packet took over a pending signed one")
		}
		calls[0].reply(mfa.Decision{Outcome: mfa.Accept})
		r.arrive(unsigned)
		r.arrive(r.ask(1, 1, nil))
		synctest.Wait()
		if n := len(r.auth.seen()); n != 1 {
			t.Error("an unsigned packet purged the answer to a signed one")
		}
		if got := r.stats().Discarded[discardTakeover.String()]; got != 2 {
			t.Errorf("%d counted, want 2", got)
		}
		time.Sleep(keepAnswer + time.Second)
		r.arrive(unsigned)
		synctest.Wait()
		if n := len(r.auth.seen()); n != 2 {
			t.Error("after 30 s the identifier is free")
		}
	})
}

// RFC 5080 §2.2.2: what is not authentic must not touch the table.
func TestForgedTouchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.arrive(r.ask(1, 1, nil))
		synctest.Wait()
		forged := r.ask(1, 2, nil)
		forged[wire.MAOffset] ^= 1
		r.arrive(forged)
		synctest.Wait()
		if calls := r.auth.seen(); len(calls) != 1 || calls[0].Superseded() {
			t.Error("got a login superseded by a forged packet; want it pending")
		}
	})
}

func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.MaxPendingPerClient = 16
		withState := func(q *wire.Query) { q.State = "s" }
		for id := range byte(17) {
			r.arrive(r.ask(id, 1, nil))
		}
		for id := range byte(3) {
			r.arrive(r.ask(100+id, 1, withState))
		}
		synctest.Wait()
		calls := r.auth.seen()
		if len(calls) != 18 {
			t.Fatalf("%d taken, want 16 new ones and 2 with State", len(calls))
		}
		if n := r.stats().Discarded[discardOverload.String()]; n != 2 {
			t.Errorf("%d discarded, want 2", n)
		}
		for _, c := range calls[:3] {
			if c.Superseded() {
				t.Error("got a pending login given up by overload; want it pending")
			}
			c.reply(mfa.Decision{Outcome: mfa.Accept})
		}
		r.arrive(r.ask(16, 1, nil))
		synctest.Wait()
		if n := len(r.auth.seen()); n != 19 {
			t.Error("the retransmission of a request that was shed must get its chance")
		}
	})
}

func TestRejectDelay(t *testing.T) {
	const second = time.Second
	for _, tt := range []struct {
		name        string
		decided     time.Duration // after the receipt
		d           mfa.Decision
		least, most time.Duration // from receipt to answer
	}{
		{"reject", 0, mfa.Decision{}, second, second * 6 / 5},
		{"reject that took longer", 5 * second, mfa.Decision{}, 5 * second, 5 * second},
		{"reject with a longer delay", 0, mfa.Decision{Delay: 4 * second}, 4 * second, 4 * second},
		{"challenge", 0, mfa.Decision{Outcome: mfa.Challenge, State: "s", Delay: second}, 0, 0},
		{"accept", 0, mfa.Decision{Outcome: mfa.Accept, Delay: second}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(c *Client) { c.RejectDelay = second })
				start := time.Now()
				r.arrive(r.ask(1, 1, nil))
				synctest.Wait()
				time.Sleep(tt.decided)
				r.auth.seen()[0].reply(tt.d)
				for len(r.socket.packets()) == 0 {
					if time.Since(start) > time.Minute {
						t.Fatal("got no answer within a minute; want one")
					}
					r.arrive(r.ask(1, 1, nil)) // a retransmission does not shorten it
					time.Sleep(second / 100)
				}
				took := time.Since(start)
				if took < tt.least || took > tt.most+second/50 {
					t.Errorf("answered after %s, want %s to %s", took, tt.least, tt.most)
				}
				r.answer(0, 1, 1)
			})
		})
	}
}

func TestPanicIsOneLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.auth.then = func(q *mfa.Request, reply func(mfa.Decision)) {
			if q.User.String() == "boom" {
				panic("a bug")
			}
			reply(mfa.Decision{Outcome: mfa.Accept})
		}
		boom := r.ask(1, 1, func(q *wire.Query) { q.User = "boom" })
		r.arrive(boom)
		r.arrive(r.ask(2, 2, nil))
		synctest.Wait()
		r.arrive(boom)
		synctest.Wait()
		if n := len(r.socket.packets()); n != 1 {
			t.Errorf("%d answers, want only that of the other login", n)
		}
		if st := r.Stats(); st.Panics != 1 || st.Pending != 0 {
			t.Errorf("counters: got %+v; want Panics 1, Pending 0", st)
		}
		lines := r.logs.FilterMessageSnippet("panic").All()
		if len(lines) != 1 || !strings.Contains(lines[0].ContextMap()["stack"].(string), "Authenticate") {
			t.Errorf("%d log lines, want one with a stack", len(lines))
		}
	})
}

// A panic after admission gives the place back once, not twice: each time more
// would let one request more than the limit in.
func TestPanicOfProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.Receive(&Arrival{Sender: panicSocket{}, Peer: Peer{Source: nas}, Packet: raw(wire.StatusServer, 1, 1, emptyMA())})
		if st := r.Stats(); st.Panics != 1 || st.Pending != 0 || r.stats().Pending != 0 {
			t.Errorf("counters: %+v", st)
		}
	})
}

func TestSecondReplyIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.auth.then = func(_ *mfa.Request, reply func(mfa.Decision)) {
			reply(mfa.Decision{Outcome: mfa.Reject})
			reply(mfa.Decision{Outcome: mfa.Accept})
		}
		r.arrive(r.ask(1, 1, nil))
		synctest.Wait()
		if n := len(r.socket.packets()); n != 1 {
			t.Fatalf("%d answers, want 1", n)
		}
		if a := r.answer(0, 1, 1); a.Code != wire.AccessReject {
			t.Errorf("got %s", a.Code)
		}
	})
}

func TestLatch(t *testing.T) {
	unsigned := func(id byte) []byte {
		return raw(wire.AccessRequest, id, id, avp(wire.TypeUserName, "nemo"), papOf("x", id, testSecret))
	}
	eap := raw(wire.AccessRequest, 50, 1, emptyMA(), avp(wire.TypeUserName, "nemo"), avp(wire.TypeEAPMessage, "\x02\x01\x00\x05\x01"))
	status := raw(wire.StatusServer, 51, 1, emptyMA())
	forged := raw(wire.AccessRequest, 52, 1, emptyMA(), avp(wire.TypeUserName, "nemo"))
	forged[wire.MAOffset] ^= 1
	other := netip.MustParseAddrPort("192.0.2.8:4000")

	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Client) { c.RequireMA = RequireAuto })
		r.auth.then = func(_ *mfa.Request, reply func(mfa.Decision)) { reply(mfa.Decision{Outcome: mfa.Reject}) }
		taken := func(from netip.AddrPort, p []byte) bool {
			before := len(r.auth.seen())
			r.arriveFrom(from, p)
			synctest.Wait()
			return len(r.auth.seen()) > before
		}
		for _, p := range [][]byte{eap, status, forged} {
			r.arrive(p)
			synctest.Wait()
		}
		if !taken(nas, unsigned(1)) {
			t.Fatal("EAP, Status-Server or a forgery latched the address")
		}
		if !taken(nas, r.ask(2, 2, nil)) {
			t.Fatal("got a signed request not taken; want it taken")
		}
		for id := byte(3); id < 6; id++ {
			if taken(nas, unsigned(id)) {
				t.Fatal("an unsigned request was taken from an address that signs")
			}
		}
		if !taken(other, unsigned(1)) {
			t.Error("got another address latched; want only the one that signed")
		}
		lines := func() int { return r.logs.FilterField(zapReason(discardUnsigned)).Len() }
		if n := lines(); n != 1 {
			t.Errorf("%d lines for three refusals, want 1", n)
		}
		time.Sleep(time.Hour)
		taken(nas, unsigned(7))
		if n := lines(); n != 2 {
			t.Errorf("%d lines after an hour, want 2", n)
		}
	})
}

func TestAutoWithoutLatches(t *testing.T) {
	r := newRig(t, func(c *Client) { c.RequireMA = RequireAuto })
	r.Latches = nil
	r.arrive(raw(wire.AccessRequest, 1, 1, avp(wire.TypeUserName, "nemo"), papOf("x", 1, testSecret)))
	if n := r.stats().Discarded[discardUnsigned.String()]; n != 1 {
		t.Error("got an unsigned request taken without a memory; want it refused")
	}
}

func TestSecretRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Client) {
			c.RequireMA = RequireNo
			c.Secrets = [][]byte{[]byte("the next one"), []byte(testSecret)}
		})
		r.auth.then = func(_ *mfa.Request, reply func(mfa.Decision)) { reply(mfa.Decision{Outcome: mfa.Accept}) }
		r.arrive(r.ask(1, 1, nil)) // signed with the second secret
		synctest.Wait()
		if a := r.answer(0, 1, 1); a.Code != wire.AccessAccept {
			t.Errorf("got %s", a.Code)
		}
		r.arrive(raw(wire.AccessRequest, 2, 2, avp(wire.TypeUserName, "nemo"), papOf("arctangent", 2, "the next one")))
		synctest.Wait()
		r.secret = wire.NewSecret([]byte("the next one"))
		r.answer(1, 2, 2)
		r.arrive(r.ask(3, 3, nil))
		synctest.Wait()
		r.answer(2, 3, 3)
		for _, c := range r.auth.seen() {
			if got := describe(c.Cred); got != `Password "arctangent"` {
				t.Errorf("credential %s", got)
			}
		}
	})
}

func TestPasswordIsNotText(t *testing.T) {
	for _, tt := range []struct{ name, hint string }{
		{"unsigned", "probably a wrong shared secret"},
		{"signed", "neither UTF-8 nor Windows-1252"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(c *Client) { c.RequireMA = RequireNo })
				for id := range byte(3) {
					p := raw(wire.AccessRequest, id, id, avp(wire.TypeUserName, "nemo"), papOf("\xff\x01", id, testSecret))
					if tt.name == "signed" {
						p = raw(wire.AccessRequest, id, id, emptyMA(), avp(wire.TypeUserName, "nemo"), papOf("\xff\x01", id, testSecret))
					}
					r.arrive(p)
				}
				synctest.Wait()
				for _, c := range r.auth.seen() {
					if got := describe(c.Cred); got != `Unsupported "password is not UTF-8"` {
						t.Errorf("credential %s", got)
					}
				}
				lines := r.logs.FilterMessage("a password is not UTF-8").All()
				if len(lines) != 1 || !strings.Contains(lines[0].ContextMap()["hint"].(string), tt.hint) {
					t.Errorf("log lines: %v", lines)
				}
			})
		})
	}
}

// A State without octets does not begin a login: what came with it is a passcode,
// and would reach a primary as a password.
func TestEmptyState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.arrive(raw(wire.AccessRequest, 1, 1, emptyMA(), avp(wire.TypeUserName, "nemo"), papOf("123456", 1, testSecret), avp(wire.TypeState, "")))
		synctest.Wait()
		if got := describe(r.auth.seen()[0].Cred); got != `Unsupported "malformed State"` {
			t.Errorf("credential %s", got)
		}
	})
}

func TestRequestFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.arrive(raw(wire.AccessRequest, 1, 1, emptyMA(), avp(wire.TypeUserName, "nemo"), papOf("x", 1, testSecret),
			avp(wire.TypeState, "abc"), avp(wire.TypeCallingStationID, "198.51.100.3"), avp(wire.TypeNASIPAddress, "\xc0\x00\x02\x07")))
		r.arrive(raw(wire.AccessRequest, 2, 1, emptyMA(), avp(wire.TypeUserName, "nemo"), papOf("x", 1, testSecret),
			avp(wire.TypeCallingStationID, "\xff\x01"), avp(wire.TypeNASIdentifier, "gw1")))
		synctest.Wait()
		for _, c := range r.auth.seen() {
			if c.Client != r.client.Policy || c.Source != nas.String() || c.User.String() != "nemo" || !c.Signed || c.Received != time.Now() {
				t.Errorf("request %+v", c.Request)
			}
			switch c.NAS {
			case "192.0.2.7":
				if c.State != "abc" || c.EndUser != "198.51.100.3" {
					t.Errorf("State %q, end user %q; want State \"abc\", EndUser \"198.51.100.3\"", c.State, c.EndUser)
				}
			case "gw1":
				if c.State != "" || c.EndUser != "" {
					t.Errorf("State %q, end user %q; want State no text, EndUser no text", c.State, c.EndUser)
				}
			default:
				t.Errorf("NAS %q", c.NAS)
			}
		}
		for i, c := range r.auth.seen() {
			c.reply(mfa.Decision{Outcome: mfa.Accept})
			if got := r.logs.FilterMessage("request").All(); len(got) != i+1 || got[i].ContextMap()["nas"] != c.NAS {
				t.Errorf("logged %v; want nas %s", got, c.NAS)
			}
		}
	})
}
