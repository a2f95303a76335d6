package upstream

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"layeh.com/radius/rfc2759"
	"layeh.com/radius/rfc3079"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
	"github.com/radmatch/radmatch/radius/wire"
)

func TestUpstreamConformance(t *testing.T) {
	passwordtest.Run(t, func(t *testing.T) passwordtest.Subject {
		h := newHome(t)
		h.users = map[string]string{"alice": "Correct horse 1", `CORP\alice`: "Correct horse 1", "ALICE": "Correct horse 1"}
		h.accept = func(_ *homeRequest, w *wire.Writer) {
			w.Text(11, "employees")
			w.Text(wire.TypeReplyMessage, "not for the user")
		}
		u, _ := upstreamOf(t, func(s *Settings) {
			s.DefaultDomain, s.CanonicalDomain, s.GroupsAttribute = "CORP", "corp.example.org", "Filter-Id"
		}, h)
		attributes := []mfa.Attribute{{Type: 11, Value: []byte("employees")}}
		s := passwordtest.Subject{
			Checker: u, User: "alice", Password: "Correct horse 1", Aliases: []string{`CORP\alice`},
			Want:     mfa.Identity{Name: mfa.NameOf("alice@corp.example.org"), Known: true, Groups: mfa.GroupsOf([]string{"employees"}...), Attributes: attributes},
			Unknown:  "nobody",
			MSCHAPv2: true,
		}
		if strings.HasSuffix(t.Name(), "/mschapv2") {
			s.Want.Attributes = append(attributes,
				mfa.Attribute{Vendor: wire.VendorMicrosoft, Type: wire.MSMPPEEncryptPolicy, Value: []byte{0, 0, 0, 1}},
				mfa.Attribute{Vendor: wire.VendorMicrosoft, Type: wire.MSMPPEEncryptTypes, Value: []byte{0, 0, 0, 6}})
			// The server of this test writes those of MS-CHAP first.
			s.Want.Attributes = append(s.Want.Attributes[1:], attributes...)
		}
		return s
	})
}

// TestUpstreamRequest: what a server gets.
func TestUpstreamRequest(t *testing.T) {
	h := newHome(t)
	u, _ := upstreamOf(t, nil, h)
	forward := ForwardedOf(&wire.Request{Raw: raw(wire.AccessRequest, 1, 1,
		avp(wire.TypeUserName, "mallory"), avp(wire.TypeState, "ours"), avp(wire.TypeProxyState, "theirs"), avp(wire.TypeNASIdentifier, "vpn"),
		avp(wire.TypeCallingStationID, "198.51.100.7"), avp(61, "\x00\x00\x00\x05"), avp(wire.TypeEAPMessage, "eap"), avp(wire.TypeReplyMessage, "hi"),
		avp(wire.TypeVendorSpecific, "\x00\x00\x00\x09\x01\x08cisco!"),
		avp(wire.TypeVendorSpecific, "\x00\x00\x01\x37\x0b\x06chal\x2f\x06\x00\x00\x00\x01\xc8\x03x"),
		emptyMA(),
	)})
	if _, err := u.CheckForwarded(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse"), forward); err != nil {
		t.Fatal(err)
	}
	q := h.requests()[0]
	if q.Raw[wire.HeaderSize] != wire.TypeMessageAuthenticator {
		t.Error("the Message-Authenticator is not the first attribute")
	}
	a := wire.Answer{Packet: q.Raw}
	var got []string
	for _, attr := range a.Attributes() {
		switch {
		case attr.Vendor == 0 && (attr.Type == wire.TypeMessageAuthenticator || attr.Type == wire.TypeUserPassword || attr.Type == wire.TypeProxyState):
			continue
		}
		name, value := wire.FormatAttribute(attr)
		got = append(got, name+"="+value)
	}
	want := []string{`User-Name="alice"`, `NAS-Identifier="radmatch"`, `Calling-Station-Id="198.51.100.7"`, "NAS-Port-Type=Virtual",
		`Cisco-AVPair="cisco!"`, "MS-Network-Access-Server-Type=Terminal-Server-Gateway"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("a server gets\n%q\nwant\n%q", got, want)
	}
	if q.pass != "right horse" || q.ProxyStates != 1 {
		t.Errorf("password %q, %d Proxy-States; want pass \"right horse\", ProxyStates 1", q.pass, q.ProxyStates)
	}
}

// TestUpstreamAnswers: what becomes of an answer's attributes.
func TestUpstreamAnswers(t *testing.T) {
	key := []byte("0123456789abcdef")
	salted := func(tag bool, text string) func(*wire.Writer) {
		return func(w *wire.Writer) {
			attr := mfa.Attribute{Type: wire.TypeTunnelPassword, Tag: 1, Value: []byte(text)}
			if !tag {
				attr = mfa.Attribute{Vendor: wire.VendorMicrosoft, Type: wire.MSMPPESendKey, Value: []byte(text)}
			}
			w.Add(attr)
		}
	}
	for _, tt := range []struct {
		name string
		add  func(*wire.Writer)
		want []mfa.Attribute
		err  string
	}{
		{"Class twice", func(w *wire.Writer) { w.Text(25, "a"); w.Text(25, "b") }, []mfa.Attribute{{Type: 25, Value: []byte("a")}, {Type: 25, Value: []byte("b")}}, ""},
		{"own ones", func(w *wire.Writer) {
			w.Text(wire.TypeState, "s")
			w.Text(wire.TypeEAPMessage, "e")
			w.Text(wire.TypeReplyMessage, "r")
			w.Attribute(wire.TypePrompt, []byte{0, 0, 0, 1})
			w.Vendor(wire.VendorMicrosoft, wire.MSCHAPError, []byte("x"))
			w.Vendor(wire.VendorMicrosoft, wire.MSCHAP2Success, []byte("x"))
		}, nil, ""},
		{"tunnel", func(w *wire.Writer) {
			w.Attribute(64, []byte{1, 0, 0, 13})
			w.Text(81, "\x0220")
		}, []mfa.Attribute{{Type: 64, Tag: 1, Value: []byte{0, 0, 13}}, {Type: 81, Tag: 2, Value: []byte("20")}}, ""},
		{"Tunnel-Password", salted(true, "swordfish"), []mfa.Attribute{{Type: 69, Tag: 1, Salted: true, Value: []byte("swordfish")}}, ""},
		{"MPPE key beside PAP", salted(false, string(key)), []mfa.Attribute{{Vendor: wire.VendorMicrosoft, Type: wire.MSMPPESendKey, Salted: true, Value: key}}, ""},
		{"Tunnel-Password, malformed", func(w *wire.Writer) { w.Attribute(69, append([]byte{1, 0x80, 1}, key[1:]...)) }, nil, "malformed encrypted value"},
		{"MPPE key, malformed", func(w *wire.Writer) { w.Vendor(wire.VendorMicrosoft, wire.MSMPPERecvKey, key) }, nil, "malformed encrypted value"},
		{"Microsoft, malformed", func(w *wire.Writer) { w.Attribute(wire.TypeVendorSpecific, []byte("\x00\x00\x01\x37\x07\x09x")) }, nil, "malformed attribute of vendor 311"},
		{"vendor, one each", func(w *wire.Writer) {
			w.Attribute(wire.TypeVendorSpecific, []byte("\x00\x00\x30\x44\x01\x03a\x02\x03b"))
		},
			[]mfa.Attribute{{Vendor: 12356, Type: 1, Value: []byte("a")}, {Vendor: 12356, Type: 2, Value: []byte("b")}}, ""},
		{"vendor with a form of its own", func(w *wire.Writer) {
			w.Attribute(wire.TypeVendorSpecific, []byte("\x00\x00\x01\xad\x00\x01\x02\x03x"))
		},
			[]mfa.Attribute{{Type: wire.TypeVendorSpecific, Value: []byte("\x00\x00\x01\xad\x00\x01\x02\x03x")}}, ""},
		{"vendor 0, which would be User-Name", func(w *wire.Writer) { w.Attribute(wire.TypeVendorSpecific, []byte("\x00\x00\x00\x00\x01\x05eve")) },
			[]mfa.Attribute{{Type: wire.TypeVendorSpecific, Value: []byte("\x00\x00\x00\x00\x01\x05eve")}}, ""},
		{"vendor, short", func(w *wire.Writer) { w.Attribute(wire.TypeVendorSpecific, []byte("\x00\x00")) }, nil, "malformed Vendor-Specific"},
		{"much", func(w *wire.Writer) { // whether it fits into our answer, the client decides
			for range 14 {
				w.Text(25, strings.Repeat("x", 250))
			}
		}, slices.Repeat([]mfa.Attribute{{Type: 25, Value: bytes.Repeat([]byte("x"), 250)}}, 14), ""},
		{"User-Name of another domain", func(w *wire.Writer) { w.Text(wire.TypeUserName, `OTHER\alice`) }, nil, "is not one of this primary"},
		{"User-Name with a line break", func(w *wire.Writer) { w.Text(wire.TypeUserName, "alice\nroot") }, nil, "told from others"},
		{"User-Name, empty", func(w *wire.Writer) { w.Text(wire.TypeUserName, "") }, nil, "User-Name is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHome(t)
			h.accept = func(_ *homeRequest, w *wire.Writer) { tt.add(w) }
			u, _ := upstreamOf(t, nil, h)
			id, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse"))
			switch {
			case tt.err == "" && (err != nil || !reflect.DeepEqual(id.Attributes, tt.want)):
				t.Errorf("got %v, %v, want %v", id.Attributes, err, tt.want)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err) || errors.Is(err, mfa.ErrRejected) || !reflect.DeepEqual(id, mfa.Identity{})):
				t.Errorf("got %v, %v, want an error with %q", id, err, tt.err)
			}
		})
	}
}

// TestUpstreamMPPE: the keys come through both encryptions.
func TestUpstreamMPPE(t *testing.T) {
	u, _ := upstreamOf(t, nil, newHome(t))
	answer, _ := checkKeys(t, u)
	if got := wire.Find(answer.Packet, wire.AttributeType{Vendor: wire.VendorMicrosoft, Type: wire.MSMPPEEncryptTypes}); !bytes.Equal(got, []byte{0, 0, 0, 6}) {
		t.Errorf("MS-MPPE-Encryption-Types %x", got)
	}
}

// checkKeys signs alice in by MS-CHAPv2 and returns what the NAS gets, after a
// look at the proof and the keys in it.
func checkKeys(t *testing.T, u *Primary) (wire.Answer, *wire.Secret) {
	t.Helper()
	cred := passwordtest.Response(t, "alice", "right horse")
	id, err := u.Check(t.Context(), mfa.NameOf("alice"), cred)
	if err != nil {
		t.Fatal(err)
	}
	answer, secret := relayed(t, cred, &id)
	if err := answer.ProvesMSCHAPv2(cred, "alice", "right horse"); err != nil {
		t.Error(err)
	}
	want := mppeKeys(t, cred, "right horse")
	for i, typ := range []byte{wire.MSMPPESendKey, wire.MSMPPERecvKey} {
		got, err := wire.DecryptSalted(wire.Find(answer.Packet, wire.AttributeType{Vendor: wire.VendorMicrosoft, Type: typ}), authOf(9)[:], secret)
		if err != nil || !bytes.Equal(got, want[i]) {
			t.Errorf("MPPE key %d: got %x, %v, want %x", typ, got, err, want[i])
		}
	}
	return answer, secret
}

// TestUpstreamRejects: what an Access-Reject to MS-CHAPv2 says of the account.
func TestUpstreamRejects(t *testing.T) {
	for _, tt := range []struct {
		text   string
		reason mfa.Reason
		proven bool
	}{
		{"\x07E=648 R=0 C=00000000000000000000000000000000 V=3 M=expired", mfa.ReasonPasswordExpired, true},
		{"\x07E=646 R=0", mfa.ReasonLogonHours, true},
		{"\x07E=647 R=0", mfa.ReasonAccountDisabled, false},
		{"\x07E=649", mfa.ReasonNoDialIn, true},
		{"\x07E=691 R=1", "", false},
		{"\x07E=6480 R=1", "", false},
		{"\x07", "", false},
		{"", "", false},
	} {
		h := newHome(t)
		h.answer = func(q *homeRequest) [][]byte {
			return [][]byte{h.reply(q, wire.AccessReject, func(w *wire.Writer) {
				if tt.text != "" {
					w.Vendor(wire.VendorMicrosoft, wire.MSCHAPError, []byte(tt.text))
				}
			})}
		}
		u, _ := upstreamOf(t, nil, h)
		_, err := u.Check(t.Context(), mfa.NameOf("alice"), passwordtest.Response(t, "alice", "right horse"))
		account := new(mfa.AccountError)
		got := mfa.Reason("")
		if errors.As(err, &account) {
			got = account.Reason
		}
		if !errors.Is(err, mfa.ErrRejected) || got != tt.reason || account.Proven != tt.proven {
			t.Errorf("%q: got %v, proven %t", tt.text, err, account.Proven)
		}
	}
}

// TestUpstreamMSCHAPWithoutProof: an Accept that does not prove that the server
// knows the password is not taken as an accept.
func TestUpstreamMSCHAPWithoutProof(t *testing.T) {
	for _, success := range []string{"", "\x07", "\x07S=0123", "\x07S=" + strings.Repeat("g", 40), strings.Repeat("A", 43)} {
		h := newHome(t)
		h.answer = func(q *homeRequest) [][]byte {
			q.mschap = nil
			return [][]byte{h.reply(q, wire.AccessAccept, func(w *wire.Writer) {
				if success != "" {
					w.Vendor(wire.VendorMicrosoft, wire.MSCHAP2Success, []byte(success))
				}
			})}
		}
		u, _ := upstreamOf(t, nil, h)
		if _, err := u.Check(t.Context(), mfa.NameOf("alice"), passwordtest.Response(t, "alice", "right horse")); err == nil || errors.Is(err, mfa.ErrRejected) {
			t.Errorf("%q: got %v", success, err)
		}
	}
}

// TestUpstreamChallenge: a question of the server goes out and the answer comes
// back to it, with its own State.
func TestUpstreamChallenge(t *testing.T) {
	h, other := newHome(t), newHome(t)
	h.answer = func(q *homeRequest) [][]byte {
		switch q.state {
		case "":
			return [][]byte{h.reply(q, wire.AccessChallenge, func(w *wire.Writer) {
				w.Text(wire.TypeReplyMessage, "Enter the code\r\nof \x1b[31myour ")
				w.Text(wire.TypeReplyMessage, "token\u202e: "+strings.Repeat("x", 200))
				w.Text(wire.TypeState, "round\x00one")
				w.Attribute(wire.TypePrompt, []byte{0, 0, 0, 1})
			})}
		case "round\x00one":
			return [][]byte{h.reply(q, wire.AccessChallenge, func(w *wire.Writer) { w.Text(wire.TypeState, "round two") })}
		}
		if q.state == "round two" && q.pass == "246" {
			return [][]byte{h.reply(q, wire.AccessAccept, func(w *wire.Writer) { w.Text(25, "class") })}
		}
		return [][]byte{h.reply(q, wire.AccessReject, nil)}
	}
	u, _ := upstreamOf(t, nil, h, other)
	_, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse"))
	first := new(mfa.PrimaryChallenge)
	if !errors.As(err, &first) || errors.Is(err, mfa.ErrRejected) {
		t.Fatalf("got %v", err)
	}
	want := "Enter the code  of  [31myour token : " + strings.Repeat("x", 163)
	if first.Message != want || !first.Echo {
		t.Errorf("message %q, echo %t", first.Message, first.Echo)
	}
	_, err = u.Continue(t.Context(), mfa.NameOf("alice"), first, "135", nil)
	second := new(mfa.PrimaryChallenge)
	if !errors.As(err, &second) || second.Message == "" || second.Echo {
		t.Fatalf("got %v, %+v", err, second)
	}
	id, err := u.Continue(t.Context(), mfa.NameOf("alice"), second, "246", nil)
	if err != nil || id.Name.String() != "alice" || len(id.Attributes) != 1 {
		t.Errorf("got %+v, %v", id, err)
	}
	if _, err = u.Continue(t.Context(), mfa.NameOf("alice"), second, "wrong", nil); !errors.Is(err, mfa.ErrRejected) {
		t.Errorf("wrong answer: got %v; want mfa.ErrRejected", err)
	}
	if _, err = u.Continue(t.Context(), mfa.NameOf("alice"), second, "246\x00", nil); !errors.Is(err, mfa.ErrRejected) {
		t.Errorf("answer with NUL: got %v; want mfa.ErrRejected", err)
	}
	if len(other.requests()) != 0 {
		t.Error("an answer went to a server that has not asked")
	}
	if _, err = u.Continue(t.Context(), mfa.NameOf("alice"), &mfa.PrimaryChallenge{}, "246", nil); err == nil || errors.Is(err, mfa.ErrRejected) {
		t.Errorf("a challenge of no user: got %v; want another error than mfa.ErrRejected", err)
	}
	moved, _ := upstreamOf(t, nil, other) // after a reload without the first server
	if _, err = moved.Continue(t.Context(), mfa.NameOf("alice"), second, "246", nil); err == nil || errors.Is(err, mfa.ErrRejected) {
		t.Errorf("server that is gone: got %v; want another error than mfa.ErrRejected", err)
	}
	h.set(func() {
		h.answer = func(q *homeRequest) [][]byte { return [][]byte{h.reply(q, wire.AccessChallenge, nil)} }
	})
	if _, err = u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse")); err == nil || errors.As(err, &first) {
		t.Errorf("challenge without a State: %v", err)
	}
}

func TestCanonicalNames(t *testing.T) {
	for _, tt := range []struct {
		domain, canonical, more string
		name                    string
		want                    string // empty: refused
		sure                    bool
	}{
		{"", "", "", "alice", "alice", true},
		{"", "", "", "Alice Smith", "Alice Smith", true},
		{"", "", "", "jürgen", "jürgen", false},
		{"", "", "", "alice@example.org", "", false},
		{"", "", "", `CORP\alice`, "", false},
		{"", "", "", "alice@", "", false},
		{"CORP", "", "", "alice", "alice", true},
		{"CORP", "", "", `corp\alice`, "alice", true},
		{"CORP", "", "", "alice@corp", "alice", false},
		{"CORP", "example.org", "", "alice", "alice@example.org", true},
		{"CORP", "example.org", "", `CORP\alice`, "alice@example.org", true},
		{"CORP", "example.org", "", "alice@EXAMPLE.org", "alice@example.org", false},
		{"CORP", "", "example.net", "alice@EXAMPLE.net", "alice@example.net", false},
		{"CORP", "example.org", "example.net", `example.net\alice`, "alice@example.net", false},
		{"CORP", "", "corp", `corp\alice`, "alice", true},
		{"CORP", "", "", `OTHER\alice`, "", false},
		{"CORP", "", "", `CORP\alice@other.org`, "", false},
		{"CORP", "", "", `CORP\CORP\alice`, "", false},
		{"CORP", "", "", "alice@x@corp", "", false},
		{"CORP", "", "", `CORP\`, "", false},
		{"CORP", "", "", "@corp", "", false},
		{"CORP", "", "", "", "", false},
		{"CORP", "", "", " alice", "", false},
		{"CORP", "", "", "alice ", "", false},
		{"CORP", "", "", "alice\x00", "", false},
		{"CORP", "", "", "alice\n", "", false},
		{"CORP", "", "", "example.org/people/alice", "", false},
		{"CORP", "", "", "al\xffice", "", false},
	} {
		n := newNameSpace(&Settings{DefaultDomain: tt.domain, CanonicalDomain: tt.canonical, Domains: strings.Fields(tt.more)})
		got, sure, err := n.canonical(tt.name)
		if got.String() != tt.want || sure != tt.sure || (err == nil) != (tt.want != "") {
			t.Errorf("%+v: got %q, %t, %v", tt, got, sure, err)
		}
	}
}

// TestUpstreamNames: the server's word wins, and a name that stays unsure is
// unknown, so that no other spelling is a way around a registered factor.
func TestUpstreamNames(t *testing.T) {
	for _, tt := range []struct {
		sent, says, want string
		known            bool
	}{
		{"alice", "", "alice", true},
		{"alice", "alice.smith", "alice.smith", true},
		{"álice", "", "álice", false},
		{"álice", "alice", "alice", true},
		{"alice@example.org", "", "alice@example.org", false},
		{"alice@example.org", `CORP\alice`, "alice", true},
	} {
		h := newHome(t)
		h.users[tt.sent] = "right horse"
		h.accept = func(_ *homeRequest, w *wire.Writer) {
			if tt.says != "" {
				w.Text(wire.TypeUserName, tt.says)
			}
		}
		u, _ := upstreamOf(t, func(s *Settings) { s.DefaultDomain, s.Domains = "CORP", []string{"example.org"} }, h)
		id, err := u.Check(t.Context(), mfa.NameOf(tt.sent), mfa.Password("right horse"))
		if err != nil || id.Name.String() != tt.want || id.Known != tt.known {
			t.Errorf("%q, says %q: got %q, known %t, %v", tt.sent, tt.says, id.Name, id.Known, err)
		}
		if got := h.requests()[0].user; got != tt.sent {
			t.Errorf("the server is asked for %q, want %q", got, tt.sent)
		}
	}
	h := newHome(t)
	u, _ := upstreamOf(t, nil, h)
	if _, err := u.Check(t.Context(), mfa.NameOf(`OTHER\alice`), mfa.Password("right horse")); !errors.Is(err, mfa.ErrRejected) || len(h.requests()) > 0 {
		t.Errorf("foreign domain: %v, asked %d times", err, len(h.requests()))
	}
	u.Taken = func(name mfa.Name) bool { return name.Is(mfa.NameOf("alice")) }
	if _, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse")); err == nil || errors.Is(err, mfa.ErrRejected) {
		t.Errorf("the name of a user of another primary: got %v; want another error than mfa.ErrRejected", err)
	}
}

// TestUpstreamPasswords: what a server might take for another password, or for
// none, is not sent.
func TestUpstreamPasswords(t *testing.T) {
	h := newHome(t)
	h.users["alice"] = "right horse"
	u, _ := upstreamOf(t, nil, h)
	for _, password := range []string{"", "right horse\x00", "\x00", strings.Repeat("x", wire.MaxPassword+1)} {
		if _, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password(password)); !errors.Is(err, mfa.ErrRejected) || len(h.requests()) > 0 {
			t.Errorf("%q: %v, asked %d times", password, err, len(h.requests()))
		}
	}
}

// mppeKeys are the keys that a client derives (RFC 3079 §3).
func mppeKeys(t testing.TB, cred mfa.MSCHAPv2, password string) [2][]byte {
	t.Helper()
	utf16, err := rfc2759.ToUTF16([]byte(password))
	if err != nil {
		t.Fatal(err)
	}
	master := rfc3079.GetMasterKey(rfc2759.NTPasswordHash(rfc2759.NTPasswordHash(utf16)), cred.NTResponse[:])
	var keys [2][]byte
	for i, send := range []bool{true, false} {
		if keys[i], err = rfc3079.GetAsymmetricStartKey(master, rfc3079.KeyLength128Bit, send); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// relayed is the answer to a NAS whose secret is another one than the upstream's.
func relayed(t *testing.T, cred mfa.MSCHAPv2, id *mfa.Identity) (wire.Answer, *wire.Secret) {
	t.Helper()
	const secret = "the secret of the NAS"
	w := wire.NewWriter(nil, wire.AccessAccept, 3, authOf(9)[:], wire.NewSecret([]byte(secret)))
	for _, a := range id.Attributes {
		w.Add(a)
	}
	w.MSCHAPAccept(cred, id.MSCHAP)
	p, err := w.SealAnswer()
	if err != nil {
		t.Fatal(err)
	}
	answer, err := wire.ParseAnswer(p, 3, authOf(9), wire.NewSecret([]byte(secret)))
	if err != nil {
		t.Fatal(err)
	}
	return answer, wire.NewSecret([]byte(secret))
}

// An MS-CHAPv2 response goes upstream with the octets of the name, and what a server
// says in Windows-1252 is read.
func TestUpstreamWindows1252(t *testing.T) {
	h := newHome(t)
	h.accept = func(_ *homeRequest, w *wire.Writer) { w.Text(wire.TypeUserName, "J\xfcrgen") }
	u, _ := upstreamOf(t, nil, h)
	_, err := u.Check(t.Context(), mfa.NameOf("Jürgen"), mfa.MSCHAPv2{Octets: "J\xfcrgen"})
	if asked := h.requests(); !errors.Is(err, mfa.ErrRejected) || len(asked) != 1 || asked[0].user != "J\xfcrgen" {
		t.Errorf("an upstream is asked %d times: got %v; want mfa.ErrRejected, 1 of them, user \"J\xfcrgen\"", len(asked), err)
	}
	if id, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse")); err != nil || id.Name.String() != "Jürgen" {
		t.Errorf("an upstream says %v: got %v; want no error, Name \"Jürgen\"", id.Name, err)
	}
}
