package radius

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2759"
	"layeh.com/radius/rfc2868"
	"layeh.com/radius/vendors/microsoft"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/method"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/wire"
)

// decided returns the verified answer to one request with this decision.
func decided(t *testing.T, r *rig, p []byte, d mfa.Decision) wire.Answer {
	t.Helper()
	r.auth.then = func(_ *mfa.Request, reply func(mfa.Decision)) { reply(d) }
	before := len(r.socket.packets())
	r.arrive(p)
	synctest.Wait()
	return r.answer(before, p[1], p[4])
}

// names lists the attributes of an answer in order.
func names(a wire.Answer) string {
	var list []string
	for _, x := range a.Attributes() {
		name, _ := wire.FormatAttribute(x)
		list = append(list, name)
	}
	return strings.Join(list, " ")
}

func TestAnswers(t *testing.T) {
	filter, err := wire.StandardDictionary().ParseAttribute("Filter-Id", "staff")
	if err != nil {
		t.Fatal(err)
	}
	withProxies := []mfa.Attribute{{Type: wire.TypeProxyState, Value: []byte("one")}, {Type: wire.TypeProxyState, Value: []byte("two")}, {Type: wire.TypeProxyState}}
	for _, tt := range []struct {
		name  string
		proxy []mfa.Attribute
		d     mfa.Decision
		code  wire.Code
		want  string
	}{
		{"accept", nil, mfa.Decision{Outcome: mfa.Accept, Message: "hello", State: "s", Identity: &mfa.Identity{Attributes: []mfa.Attribute{filter}}},
			wire.AccessAccept, "Message-Authenticator Filter-Id Reply-Message"},
		{"accept through proxies", withProxies, mfa.Decision{Outcome: mfa.Accept},
			wire.AccessAccept, "Message-Authenticator Proxy-State Proxy-State Proxy-State"},
		{"one proxy", withProxies[:1], mfa.Decision{Outcome: mfa.Accept},
			wire.AccessAccept, "Message-Authenticator Proxy-State"},
		{"challenge", withProxies, mfa.Decision{Outcome: mfa.Challenge, State: "s", Message: "code", Identity: &mfa.Identity{Attributes: []mfa.Attribute{filter}}},
			wire.AccessChallenge, "Message-Authenticator State Prompt Reply-Message Proxy-State Proxy-State Proxy-State"},
		{"reject", withProxies, mfa.Decision{Message: "no", State: "s", Identity: &mfa.Identity{Attributes: []mfa.Attribute{filter}}},
			wire.AccessReject, "Message-Authenticator Reply-Message Proxy-State Proxy-State Proxy-State"},
		{"zero decision", nil, mfa.Decision{}, wire.AccessReject, "Message-Authenticator"},
		{"challenge without State", nil, mfa.Decision{Outcome: mfa.Challenge, Message: "code"}, wire.AccessReject, "Message-Authenticator"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				a := decided(t, r, r.ask(1, 1, func(q *wire.Query) { q.Attributes = tt.proxy }), tt.d)
				if a.Code != tt.code || names(a) != tt.want {
					t.Errorf("got %s: %s\nwant %s: %s", a.Code, names(a), tt.code, tt.want)
				}
				var proxies []string
				for typ, v := range wire.Attributes(a.Packet) {
					if typ == wire.TypeProxyState {
						proxies = append(proxies, string(v))
					}
				}
				if len(proxies) == 3 && strings.Join(proxies, ",") != "one,two," {
					t.Errorf("Proxy-State %q", proxies)
				}
			})
		})
	}
}

func TestPrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for id, echo := range []bool{false, true} {
			a := decided(t, r, r.ask(byte(id), 1, nil), mfa.Decision{Outcome: mfa.Challenge, State: "opaque", Ask: mfa.Ask{Echo: echo}})
			if a.Echo() != echo || a.State() != "opaque" {
				t.Errorf("Prompt %v, State %q", a.Echo(), a.State())
			}
		}
	})
}

func TestReplyMessageIsSplitBetweenRunes(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("x", 253), strings.Repeat("x", 254), strings.Repeat("é", 200), "x" + strings.Repeat("€", 300), "",
		strings.Repeat("\x80", 600), // no text at all: it still must end
	} {
		w := wire.NewWriter(nil, wire.AccessReject, 0, authOf(1)[:], wire.NewSecret([]byte("s")))
		message(&w, &profile.Profile{}, text, wire.MaxPacketSize)
		var got string
		for _, v := range wire.Attributes(w.B) {
			if len(v) == 16 && got == "" && bytes.Equal(v, make([]byte, 16)) {
				continue // Message-Authenticator
			}
			if utf8.ValidString(text) && !utf8.Valid(v) {
				t.Errorf("%.10q… was split within a rune", text)
			}
			got += string(v)
		}
		if got != text || w.Err != nil {
			t.Errorf("%.10q… came back as %.10q… (%v)", text, got, w.Err)
		}
	}
}

// TestMessageIsCut: a text gives way to what the login needs.
func TestMessageIsCut(t *testing.T) {
	proxies := make([]mfa.Attribute, 15)
	for i := range proxies {
		proxies[i] = mfa.Attribute{Type: wire.TypeProxyState, Value: bytes.Repeat([]byte{byte(i)}, 253)}
	}
	class := mfa.Attribute{Type: 25, Value: bytes.Repeat([]byte{1}, 240)}
	pam, err := profile.Lookup("pam")
	if err != nil {
		t.Fatal(err)
	}
	euros := strings.Repeat("€", 300)
	for _, tt := range []struct {
		name    string
		profile *profile.Profile // generic if nil
		proxy   []mfa.Attribute
		d       mfa.Decision
		want    string // "-" for a bare Access-Reject
	}{
		{"reject with Proxy-State", nil, proxies, mfa.Decision{Message: strings.Repeat("x", 400)}, strings.Repeat("x", 4096-20-18-15*255-2)},
		{"pam: one message", pam, nil, mfa.Decision{Message: euros}, euros[:252]},
		{"pam: one message in a challenge", pam, nil, mfa.Decision{Outcome: mfa.Challenge, State: "s", Message: euros}, euros[:252]},
		{"pam: whole text beside attributes", pam, nil, mfa.Decision{Outcome: mfa.Accept, Message: "hello", Identity: &mfa.Identity{Attributes: []mfa.Attribute{class, class, class}}}, "hello"},
		{"pam: text beside many attributes", pam, nil, mfa.Decision{Outcome: mfa.Accept, Message: "hello", Identity: &mfa.Identity{Attributes: []mfa.Attribute{class, class, class, class}}}, "hello"},
		{"pam: cut beside attributes", pam, nil, mfa.Decision{Outcome: mfa.Accept, Message: strings.Repeat("x", 100), Identity: &mfa.Identity{Attributes: []mfa.Attribute{class, class, class, class}}}, strings.Repeat("x", 16)},
		{"pam: attributes too long", pam, nil, mfa.Decision{Outcome: mfa.Accept, Message: "hello", Identity: &mfa.Identity{Attributes: []mfa.Attribute{class, class, class, class, class}}}, "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(c *Client) {
					if tt.profile != nil {
						c.Profile = tt.profile
					}
				})
				a := decided(t, r, r.ask(1, 1, func(q *wire.Query) { q.Attributes = tt.proxy }), tt.d)
				if tt.want == "-" {
					if a.Code != wire.AccessReject || a.Message() != "" || r.logs.FilterMessageSnippet("request").Len() != 1 {
						t.Errorf("got %s %q, want a bare Access-Reject that is logged", a.Code, a.Message())
					}
				} else if a.Message() != tt.want {
					t.Errorf("message of %d octets, want %d", len(a.Message()), len(tt.want))
				}
				if n := len(r.socket.packets()[0]); n > r.client.Profile.LongestAnswer() {
					t.Errorf("an answer of %d octets", n)
				}
			})
		})
	}
}

// An Accept that Fits lets through is one on the wire, and nothing else is: to the octet,
// beside Proxy-State, and with what is encrypted.
func TestFits(t *testing.T) {
	pam, err := profile.Lookup("pam")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Client) { c.Profile = pam })
		var fits error
		var attributes []mfa.Attribute
		r.auth.then = func(q *mfa.Request, reply func(mfa.Decision)) {
			fits = q.Answer.Fits(&mfa.Identity{Attributes: attributes})
			reply(mfa.Decision{Outcome: mfa.Accept, Identity: &mfa.Identity{Attributes: attributes}})
		}
		accepts, rejects := 0, 0
		for n := range byte(80) {
			proxy := []mfa.Attribute{{Type: wire.TypeProxyState, Value: bytes.Repeat([]byte{1}, int(n%40))}}
			attributes = []mfa.Attribute{
				{Type: 25, Value: bytes.Repeat([]byte{1}, 253)}, {Type: 25, Value: bytes.Repeat([]byte{1}, 253)},
				{Vendor: 9, Type: 1, Value: bytes.Repeat([]byte{1}, 240)}, {Type: wire.TypeTunnelPassword, Tag: 1, Value: []byte("secret")},
				{Type: 11, Value: bytes.Repeat([]byte{1}, 120+int(n))},
			}
			r.arrive(r.ask(n, n, func(q *wire.Query) { q.Attributes = proxy }))
			synctest.Wait()
			time.Sleep(time.Second)
			synctest.Wait()
			code := r.answer(int(n), n, n).Code
			if (fits == nil) != (code == wire.AccessAccept) {
				t.Fatalf("%d: Fits says %v, the answer is %v", n, fits, code)
			}
			if code == wire.AccessAccept {
				accepts++
			} else {
				rejects++
			}
		}
		if accepts == 0 || rejects == 0 {
			t.Errorf("%d accepts, %d rejects: the limit is not among them", accepts, rejects)
		}
	})
}

// The refusal of EAP is an EAP-Failure to the packet that came, without a
// Reply-Message beside it (RFC 3579 §2.6.3, §2.6.5).
func TestEAPFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.auth.then = func(_ *mfa.Request, reply func(mfa.Decision)) { reply(mfa.Decision{Message: "Sign-in failed."}) }
		for i, eap := range []string{"\x02\x4d\x00\x09\x01nemo", "\x02"} {
			id := byte(i)
			r.arrive(raw(wire.AccessRequest, id, id, emptyMA(), avp(wire.TypeUserName, "nemo"), avp(wire.TypeEAPMessage, eap)))
			time.Sleep(time.Second)
			synctest.Wait()
			a := r.answer(i, id, id)
			got := wire.Find(a.Packet, wire.AttributeType{Type: wire.TypeEAPMessage})
			want := []byte{4, 0x4d, 0, 4}
			if len(eap) < 2 {
				want[1] = 0
			}
			if a.Code != wire.AccessReject || !bytes.Equal(got, want) || a.Message() != "" {
				t.Errorf("%v with EAP-Message %x and %q, want %x", a.Code, got, a.Message(), want)
			}
		}
	})
}

func TestAnswerThatDoesNotFit(t *testing.T) {
	long := make([]mfa.Attribute, 16)
	for i := range long {
		long[i] = mfa.Attribute{Type: 25, Value: bytes.Repeat([]byte{1}, 253)}
	}
	proxies := make([]mfa.Attribute, 15)
	for i := range proxies {
		proxies[i] = mfa.Attribute{Type: wire.TypeProxyState, Value: bytes.Repeat([]byte{byte(i)}, 253)}
	}
	for _, tt := range []struct {
		name  string
		proxy []mfa.Attribute
		d     mfa.Decision
	}{
		{"accept", nil, mfa.Decision{Outcome: mfa.Accept, Identity: &mfa.Identity{Attributes: long}}},
		{"accept with a value of 254 octets", nil, mfa.Decision{Outcome: mfa.Accept, Identity: &mfa.Identity{Attributes: []mfa.Attribute{{Type: 25, Value: make([]byte, 254)}}}}},
		{"accept with a vendor's value of 248 octets", nil, mfa.Decision{Outcome: mfa.Accept, Identity: &mfa.Identity{Attributes: []mfa.Attribute{{Vendor: 9, Type: 1, Value: make([]byte, 248)}}}}},
		{"challenge", proxies, mfa.Decision{Outcome: mfa.Challenge, State: strings.Repeat("s", 250)}},
		{"state with a NUL", nil, mfa.Decision{Outcome: mfa.Challenge, State: "a\x00b"}}, // ocserv reads a C string
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				a := decided(t, r, r.ask(1, 1, func(q *wire.Query) { q.Attributes = tt.proxy }), tt.d)
				if a.Code != wire.AccessReject || a.Message() != "" {
					t.Errorf("got %s %q, want a bare Access-Reject", a.Code, a.Message())
				}
				if n := strings.Count(names(a), "Proxy-State"); n != len(tt.proxy) {
					t.Errorf("%d Proxy-States, want %d", n, len(tt.proxy))
				}
				line := r.logs.FilterMessage("request").All()[0].ContextMap()
				if line["outcome"] != "reject" || line["reason"] != string(mfa.ReasonInternalError) || line["error"] == nil {
					t.Errorf("log line %v", line)
				}
				if st := r.stats(); st.Accepted != 0 || st.Rejected != 1 {
					t.Errorf("got counters %+v; want Accepted 0, Rejected 1", st)
				}
			})
		})
	}
}

// The exchange of RFC 2759 §9.2, with the keys of RFC 3079 §3.5.3.
func TestMSCHAPv2Vectors(t *testing.T) {
	cred := mfa.MSCHAPv2{
		Ident:         9,
		AuthChallenge: [16]byte(unhex(t, "5B5D7C7D7B3F2F3E3C2C602132262628")),
		PeerChallenge: [16]byte(unhex(t, "21402324255E262A28295F2B3A337C7E")),
		NTResponse:    [24]byte(unhex(t, "82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")),
	}
	keys := &mfa.MSCHAPKeys{NTHashHash: [16]byte(unhex(t, "41C00C584BD2D91C4017A2A12FA59F3F")), Name: "User"}
	response, err := rfc2759.GenerateNTResponse(cred.AuthChallenge[:], cred.PeerChallenge[:], []byte("User"), []byte("clientPass"))
	if err != nil || !bytes.Equal(response, cred.NTResponse[:]) {
		t.Fatalf("the vector is wrong: %x, %v", response, err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		p := r.ask(1, 1, func(q *wire.Query) { q.User, q.Cred = "User", cred })
		a := decided(t, r, p, mfa.Decision{Outcome: mfa.Accept, Identity: &mfa.Identity{MSCHAP: keys}})
		if got := r.auth.seen()[0].Cred; got != mfa.Credential(cred) {
			t.Fatalf("the credential arrived as %+v", got)
		}
		success := wire.Find(a.Packet, wire.AttributeType{Vendor: wire.VendorMicrosoft, Type: wire.MSCHAP2Success})
		if got, want := string(success), "\x09S=407A5589115FD0D6209F510FE9C04566932CDA56"; got != want {
			t.Errorf("MS-CHAP2-Success %q, want %q", got, want)
		}
		if err := a.ProvesMSCHAPv2(cred, "User", "clientPass"); err != nil {
			t.Error(err)
		}
		if err := a.ProvesMSCHAPv2(cred, "User", "clientpass"); err == nil {
			t.Error("another password is proved too: got no error; want one")
		}
		// Decrypt the keys with layeh, which has the request's authenticator.
		theirs, err := layeh.Parse(a.Packet, []byte(testSecret))
		if err != nil {
			t.Fatal(err)
		}
		request := &layeh.Packet{Authenticator: *authOf(1), Secret: []byte(testSecret)}
		send, err1 := microsoft.MSMPPESendKey_Lookup(theirs, request)
		_, err2 := microsoft.MSMPPERecvKey_Lookup(theirs, request)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if want := unhex(t, "8B7CDC149B993A1BA118CB153F56DCCB"); !bytes.Equal(send, want) {
			t.Errorf("MS-MPPE-Send-Key %x, want %x", send, want)
		}
		salts := [2]uint16{}
		for i, typ := range []byte{wire.MSMPPESendKey, wire.MSMPPERecvKey} {
			salts[i] = binary.BigEndian.Uint16(wire.Find(a.Packet, wire.AttributeType{Vendor: wire.VendorMicrosoft, Type: typ}))
		}
		if salts[0] == salts[1] || salts[0]&salts[1]&0x8000 == 0 {
			t.Errorf("salts %x: must differ and have their highest bit set", salts)
		}
	})
}

func TestMSCHAPv2Reject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		cred := mfa.MSCHAPv2{Ident: 7}
		ask := func(id byte) []byte { return r.ask(id, 1, func(q *wire.Query) { q.Cred = cred }) }
		a := decided(t, r, ask(1), mfa.Decision{Message: "Sign-in failed"})
		got := string(wire.Find(a.Packet, wire.AttributeType{Vendor: wire.VendorMicrosoft, Type: wire.MSCHAPError}))
		var challenge string
		if _, err := fmt.Sscanf(got, "\x07E=691 R=0 C=%32s V=3 M=Sign-in failed", &challenge); err != nil || len(got) > 240 {
			t.Errorf("MS-CHAP-Error %q: got %v; want no error, at most 240 of them", got, err)
		}
		if len(unhex(t, challenge)) != 16 {
			t.Errorf("challenge %q", challenge)
		}
		// An Accept without keys must not leave.
		a = decided(t, r, ask(2), mfa.Decision{Outcome: mfa.Accept})
		if a.Code != wire.AccessReject {
			t.Errorf("got %s", a.Code)
		}
	})
}

// The peer learns why a directory refuses an account only after a right password.
func TestMSCHAPv2ErrorCode(t *testing.T) {
	for _, c := range []struct {
		reason mfa.Reason
		want   int
	}{
		{mfa.ReasonLogonHours, 646},
		{mfa.ReasonAccountDisabled, 647},
		{mfa.ReasonAccountExpired, 647},
		{mfa.ReasonPasswordExpired, 648},
		{mfa.ReasonMustChange, 648},
		{mfa.ReasonLogonWorkstation, 649},
		{mfa.ReasonNoDialIn, 649},
		{mfa.ReasonAccountLocked, 691},
		{mfa.ReasonWrongPassword, 691},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			for i, proven := range []bool{true, false} {
				want := c.want
				if !proven {
					want = 691
				}
				refusal := errors.Join(&mfa.AccountError{Reason: c.reason, Proven: proven, Err: errors.New("no")}, nil)
				p := r.ask(byte(i), 1, func(q *wire.Query) { q.Cred = mfa.MSCHAPv2{} })
				a := decided(t, r, p, mfa.Decision{Reason: c.reason, Err: refusal})
				got := string(wire.Find(a.Packet, wire.AttributeType{Vendor: wire.VendorMicrosoft, Type: wire.MSCHAPError}))
				if !strings.HasPrefix(got, fmt.Sprintf("\x00E=%d R=0 ", want)) {
					t.Errorf("%s, proven %v: MS-CHAP-Error %q, want E=%d", c.reason, proven, got, want)
				}
			}
		})
	}
}

// Keys of another packet's check do not leave with a password login.
func TestMSCHAPKeysNotForPAP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		a := decided(t, r, r.ask(1, 1, nil), mfa.Decision{Outcome: mfa.Accept, Identity: &mfa.Identity{MSCHAP: &mfa.MSCHAPKeys{}}})
		if names(a) != "Message-Authenticator" {
			t.Errorf("got %s", names(a))
		}
	})
}

// What CheckReply lets pass fits the longest answer there is: an event that says
// accept is on disk by the time that the answer is encoded.
func TestLargestAccept(t *testing.T) {
	cred := mfa.MSCHAPv2{Ident: 7}
	proxies := func(octets int) (list []mfa.Attribute) {
		for ; octets > 0; octets -= 128 {
			list = append(list, mfa.Attribute{Type: wire.TypeProxyState, Value: make([]byte, min(octets, 128)-2)})
		}
		return list
	}
	reply := []mfa.Attribute{{Type: wire.TypeTunnelPassword, Tag: 1, Value: make([]byte, wire.MaxSaltedValue)}}
	for wire.CheckReply(append(reply, mfa.Attribute{Type: 25, Value: []byte{1}})) == nil {
		reply = append(reply, mfa.Attribute{Type: 25, Value: []byte{1}})
	}
	if err := wire.CheckReply(append(reply, mfa.Attribute{Type: 25, Value: []byte{1}})); err == nil || !strings.Contains(err.Error(), "octets") {
		t.Errorf("got %v", err)
	}
	if n := len(reply); n < 800 {
		t.Fatalf("got %d attributes fit; want at least 800", n)
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		p := r.ask(1, 1, func(q *wire.Query) { q.Cred, q.Attributes = cred, proxies(wire.MaxProxyState) })
		a := decided(t, r, p, mfa.Decision{Outcome: mfa.Accept, Identity: &mfa.Identity{Attributes: reply, MSCHAP: &mfa.MSCHAPKeys{}}})
		if a.Code != wire.AccessAccept || len(a.Packet) < wire.MaxPacketSize-3 {
			t.Errorf("%s of %d octets", a.Code, len(a.Packet))
		}
		r.arrive(r.ask(2, 2, func(q *wire.Query) { q.Attributes = proxies(wire.MaxProxyState + 3) }))
		synctest.Wait()
		if got := describe(r.auth.seen()[1].Cred); got != `Unsupported "too much Proxy-State"` {
			t.Errorf("credential %s", got)
		}
	})
}

func TestTunnelAttributes(t *testing.T) {
	var list []mfa.Attribute
	for _, x := range [][2]string{
		{"Tunnel-Type:1", "VLAN"}, {"Tunnel-Medium-Type:1", "IEEE-802"}, {"Tunnel-Private-Group-Id:1", "42"},
		{"Tunnel-Password:1", "open sesame"}, {"Tunnel-Password", "second"}, {"Tunnel-Type", "VLAN"},
	} {
		a, err := wire.StandardDictionary().ParseAttribute(x[0], x[1])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, a)
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		a := decided(t, r, r.ask(1, 1, nil), mfa.Decision{Outcome: mfa.Accept, Identity: &mfa.Identity{Attributes: list}})
		want := "Message-Authenticator Tunnel-Type:1 Tunnel-Medium-Type:1 Tunnel-Private-Group-Id:1 Tunnel-Password:1 Tunnel-Password Tunnel-Type"
		if names(a) != want {
			t.Errorf("got %s", names(a))
		}
		theirs, err := layeh.Parse(a.Packet, []byte(testSecret))
		if err != nil {
			t.Fatal(err)
		}
		tags, passwords, err := rfc2868.TunnelPassword_Gets(theirs, &layeh.Packet{Authenticator: *authOf(1), Secret: []byte(testSecret)})
		if err != nil || len(passwords) != 2 || string(passwords[0]) != "open sesame" || string(passwords[1]) != "second" || tags[0] != 1 || tags[1] != 0 {
			t.Errorf("passwords %q, tags %v, %v", passwords, tags, err)
		}
		if tag, typ := rfc2868.TunnelType_Get(theirs); tag != 1 || typ != 13 {
			t.Errorf("Tunnel-Type %d:%d; want 1, 13", tag, typ)
		}
	})
}

func BenchmarkExchange(b *testing.B) {
	r := newRig(b, nil)
	table, _ := NewTable([]Client{r.client})
	s := &Server{MaxAttributes: 200}
	done := make(chan struct{})
	s.Swap(Service{Table: table, Authenticator: authFunc(func(_ *mfa.Request, reply func(mfa.Decision)) {
		reply(mfa.Decision{Outcome: mfa.Challenge, State: "0123456789abcdef0123456789abcdef", Message: "Enter your passcode: "})
		done <- struct{}{}
	})})
	packets := make([][]byte, 256)
	for i := range packets {
		packets[i] = r.ask(byte(i), byte(i), nil)
	}
	a := &Arrival{Sender: discardSocket{}, Peer: Peer{Source: nas}} // a reader's own, used again and again
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p := packets[i%256]
		p[4+8]++ // another authenticator, signed anew
		sum := r.secret.Sign(p, wire.MAOffset)
		copy(p[wire.MAOffset:], sum[:])
		a.Packet = p
		s.Receive(a)
		<-done
	}
}

// BenchmarkIntake is what a datagram costs until it is known to be authentic,
// and BenchmarkReply what an answer costs. Neither allocates.
func BenchmarkIntake(b *testing.B) {
	r := newRig(b, nil)
	p := r.ask(1, 1, nil)
	c, count := r.service.Load().Table.clients[0], new(counters)
	a := &Arrival{Peer: Peer{Source: nas}}
	b.ReportAllocs()
	for b.Loop() {
		if a.scan(wire.Trim(p), 200) != keep {
			b.Fatal("got the packet discarded; want it kept")
		}
		if _, why := r.authenticate(a, c, count, &a.request, time.Time{}); why != keep {
			b.Fatal(why)
		}
	}
}

func BenchmarkReply(b *testing.B) {
	r := newRig(b, nil)
	filter, _ := wire.StandardDictionary().ParseAttribute("Filter-Id", "staff")
	x := &exchange{server: r.Server, secret: r.secret, method: method.Of(&wire.Request{Password: []byte{}}), client: &client{Client: r.client}}
	d := mfa.Decision{Outcome: mfa.Accept, Message: "hello", Identity: &mfa.Identity{Attributes: []mfa.Attribute{filter}}}
	o := new(room)
	b.ReportAllocs()
	for b.Loop() {
		if x.answer(o, &d) == nil || d.Outcome != mfa.Accept {
			b.Fatal("got no answer, or no Accept; want an Accept")
		}
	}
}
