package web

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push/pushtest"
)

const (
	testRP     = "mfa.example.org"
	testOrigin = "https://mfa.example.org"
)

// passkeys turns passkeys on.
func (r *rig) passkeys(t testing.TB) {
	t.Helper()
	p, err := NewPasskeys(testRP, testOrigin, r.store)
	if err != nil {
		t.Fatal(err)
	}
	p.Registers = true
	r.Server.Passkeys, r.Approver.Passkeys = p, p
}

// offered asks for the options of a registration and returns the challenge.
func (r *rig) offered(t testing.TB, id string) string {
	t.Helper()
	resp := r.send(t, request{method: "POST", target: "/api/v1/passkey/options", body: "{}", sign: id})
	defer resp.Body.Close()
	var options struct {
		PublicKey struct {
			Challenge   string
			RP          struct{ ID string }
			User        struct{ ID string }
			Attestation string
			Selection   struct{ UserVerification string } `json:"authenticatorSelection"`
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&options); err != nil || resp.StatusCode != 200 {
		t.Fatalf("options: status %d: got %v; want no error, StatusCode 200", resp.StatusCode, err)
	}
	k := options.PublicKey
	if k.RP.ID != testRP || k.User.ID != device.Encode([]byte(id)) || k.Attestation != "none" || k.Selection.UserVerification != "required" {
		t.Fatalf("options: %+v", k)
	}
	return k.Challenge
}

// register gives a device a passkey.
func (r *rig) register(t testing.TB, device string) *pushtest.Authenticator {
	t.Helper()
	a := pushtest.NewAuthenticator(t, testRP, testOrigin)
	status, b, _ := r.do(t, request{method: "POST", target: "/api/v1/passkey", body: string(a.Register(r.offered(t, device))), sign: device})
	if status != 201 {
		t.Fatalf("register: got %d %q; want 201", status, b.Code)
	}
	return a
}

func TestPasskeyRegistration(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(a *pushtest.Authenticator, challenge *string)
		code   string
	}{
		{"right", func(*pushtest.Authenticator, *string) {}, ""},
		{"synced", func(a *pushtest.Authenticator, _ *string) { a.Flags |= pushtest.BackupAble | pushtest.BackedUp }, ""},
		{"no user verification", func(a *pushtest.Authenticator, _ *string) { a.Flags = pushtest.UserPresent }, "bad_passkey"},
		{"no user presence", func(a *pushtest.Authenticator, _ *string) { a.Flags = pushtest.UserVerified }, "bad_passkey"},
		{"backed up, which it cannot be", func(a *pushtest.Authenticator, _ *string) { a.Flags |= pushtest.BackedUp }, "bad_passkey"},
		{"another challenge", func(_ *pushtest.Authenticator, c *string) { *c = device.Encode(make([]byte, 32)) }, "bad_passkey"},
		{"another site", func(a *pushtest.Authenticator, _ *string) { a.Origin = "https://evil.example" }, "bad_passkey"},
		{"another relying party", func(a *pushtest.Authenticator, _ *string) { a.RP = "example.org" }, "bad_passkey"},
		{"an assertion's type", func(a *pushtest.Authenticator, _ *string) { a.Type = "webauthn.get" }, "bad_passkey"},
		{"with an attestation", func(a *pushtest.Authenticator, _ *string) { a.Format = "fido-u2f" }, "bad_passkey"},
		{"with a certificate", func(a *pushtest.Authenticator, _ *string) { a.Format, a.X5C = "packed", true }, "bad_passkey"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.passkeys(t)
			challenge := r.offered(t, "anna1")
			a := pushtest.NewAuthenticator(t, testRP, testOrigin)
			c.change(a, &challenge)
			if _, b, _ := r.do(t, request{method: "POST", target: "/api/v1/passkey", body: string(a.Register(challenge)), sign: "anna1"}); b.Code != c.code {
				t.Errorf("got %q, want %q", b.Code, c.code)
			}
			if d, _ := r.store.Device(t.Context(), "anna1"); (d.Passkey != nil) != (c.code == "") {
				t.Errorf("the device has %+v", d.Passkey)
			}
		})
	}
}

// TestPasskeyOffers: what was offered is good once, for the device that asked.
func TestPasskeyOffers(t *testing.T) {
	r := newRig(t)
	register := func(device string, a *pushtest.Authenticator, challenge string) string {
		_, b, _ := r.do(t, request{method: "POST", target: "/api/v1/passkey", body: string(a.Register(challenge)), sign: device})
		return b.Code
	}
	a := pushtest.NewAuthenticator(t, testRP, testOrigin)
	if _, b, _ := r.do(t, request{method: "POST", target: "/api/v1/passkey/options", body: "{}", sign: "anna1"}); b.Code != "no_passkeys" {
		t.Errorf("without a relying party: got %q; want \"no_passkeys\"", b.Code)
	}
	r.passkeys(t)
	r.Server.Passkeys.Registers = false
	if _, b, _ := r.do(t, request{method: "POST", target: "/api/v1/passkey/options", body: "{}", sign: "anna1"}); b.Code != "no_passkeys" {
		t.Errorf("passkeys off: options: got %q; want \"no_passkeys\"", b.Code)
	}
	if code := register("anna1", a, device.Encode(make([]byte, 32))); code != "no_passkeys" {
		t.Errorf("passkeys off: got %q; want \"no_passkeys\"", code)
	}
	r.Server.Passkeys.Registers = true
	if code := register("anna1", a, device.Encode(make([]byte, 32))); code != "bad_passkey" {
		t.Errorf("nothing offered: got %q; want \"bad_passkey\"", code)
	}
	challenge := r.offered(t, "anna1")
	if code := register("anna2", a, challenge); code != "bad_passkey" {
		t.Errorf("another device: got %q; want \"bad_passkey\"", code)
	}
	first := challenge
	challenge = r.offered(t, "anna1")
	if code := register("anna1", a, first); code != "bad_passkey" {
		t.Errorf("the one before: got %q; want \"bad_passkey\"", code)
	}
	if code := register("anna1", a, challenge); code != "bad_passkey" {
		t.Errorf("after a wrong one: got %q; want \"bad_passkey\"", code)
	}
	if code := register("anna1", a, r.offered(t, "anna1")); code != "" {
		t.Errorf("right: got %q; want no text", code)
	}
	if _, b, _ := r.do(t, request{method: "POST", target: "/api/v1/passkey/options", body: "{}", sign: "anna1"}); b.Code != "passkey_exists" {
		t.Errorf("a second one: got %q; want \"passkey_exists\"", b.Code)
	}
	if code := register("anna2", a, r.offered(t, "anna2")); code != "passkey_exists" {
		t.Errorf("the same one on another device: got %q; want \"passkey_exists\"", code)
	}
	if code := register("bob1", a, r.offered(t, "bob1")); code != "passkey_exists" {
		t.Errorf("the same one of another user: got %q; want \"passkey_exists\"", code)
	}
}

// TestPasskeyOffersEnd: offers last five minutes, and there is a bound.
func TestPasskeyOffersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &pushtest.Store{}
		st.Add(t, "anna", "anna1", device.MaxVersion)
		p, err := NewPasskeys(testRP, testOrigin, st)
		if err != nil {
			t.Fatal(err)
		}
		d, _ := st.Device(t.Context(), "anna1")
		creation, err := p.offer(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		for i := range maxOffers - 1 {
			if _, err := p.offer(t.Context(), device.Device{ID: fmt.Sprint("d", i), User: mfa.NameOf("x")}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.offer(t.Context(), device.Device{ID: "more", User: mfa.NameOf("x")}); err != errBusy {
			t.Errorf("one more: got %v; want %v", err, errBusy)
		}
		if _, err := p.offer(t.Context(), device.Device{ID: "d0", User: mfa.NameOf("x")}); err != nil {
			t.Errorf("one again: got error %v; want none", err)
		}
		time.Sleep(offerTime + time.Second)
		body := pushtest.NewAuthenticator(t, testRP, testOrigin).Register(creation.Response.Challenge.String())
		if _, err := p.register(t.Context(), d, body); err == nil || !strings.Contains(err.Error(), "in the last 5m0s") {
			t.Errorf("too late: got %v; want \"in the last 5m0s\" in the error", err)
		}
		for _, id := range []string{"more", "and more"} { // the first finds the room of anna1
			if _, err := p.offer(t.Context(), device.Device{ID: id, User: mfa.NameOf("x")}); err != nil {
				t.Errorf("later: got error %v; want none", err)
			}
		}
		if n := p.Offers.(*memoryOffers).table.Len(); n != 2 {
			t.Errorf("got %d offers are kept; want 2", n)
		}
	})
}

// approval is the body of an approval by a device, with the assertion that make
// returns for the challenge of this decision.
func (r *rig) approval(t testing.TB, d device.Decision, assert func(challenge []byte) []byte) string {
	t.Helper()
	d.Version, d.Surface = device.MaxVersion, device.SurfaceApp
	if err := d.Sign(r.keys[d.Device], "anna"); err != nil {
		t.Fatal(err)
	}
	req := device.DecisionRequest{Decision: d.Action, Number: d.Number, Surface: d.Surface, Signature: device.Encode(d.Signature)}
	if assert != nil {
		req.Assertion = assert(d.Challenge("anna"))
	}
	text, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPasskeyDecisions(t *testing.T) {
	r := newRig(t)
	r.passkeys(t)
	mine, other := r.register(t, "anna1"), r.register(t, "anna2")
	done := r.prompt(t, "p1", "42")
	approve := device.Decision{Device: "anna1", Prompt: "p1", Action: device.ActionApprove, Number: "42"}
	with := func(change func(*device.Decision)) []byte { // an assertion for another decision
		d := approve
		d.Version, d.Surface = device.MaxVersion, device.SurfaceApp
		change(&d)
		return d.Challenge("anna")
	}
	forged := func(change func(*pushtest.Authenticator)) func([]byte) []byte {
		a := *mine
		change(&a)
		return a.Assert
	}
	for _, c := range []struct {
		name   string
		assert func(challenge []byte) []byte
		code   string
	}{
		{"none", nil, "passkey_required"},
		{"null", func([]byte) []byte { return []byte("null") }, "bad_passkey"},
		{"empty", func([]byte) []byte { return []byte("{}") }, "bad_passkey"},
		{"by another device's passkey", other.Assert, "bad_passkey"},
		{"by another key", forged(func(a *pushtest.Authenticator) { a.Key = other.Key }), "bad_passkey"},
		{"by another key's id", forged(func(a *pushtest.Authenticator) { a.ID = other.ID }), "bad_passkey"},
		{"no user verification", forged(func(a *pushtest.Authenticator) { a.Flags = pushtest.UserPresent }), "bad_passkey"},
		{"no user presence", forged(func(a *pushtest.Authenticator) { a.Flags = pushtest.UserVerified }), "bad_passkey"},
		{"became a synced one", forged(func(a *pushtest.Authenticator) { a.Flags |= pushtest.BackupAble }), "bad_passkey"},
		{"another site", forged(func(a *pushtest.Authenticator) { a.Origin = "https://evil.example" }), "bad_passkey"},
		{"another relying party", forged(func(a *pushtest.Authenticator) { a.RP = "evil.example" }), "bad_passkey"},
		{"a registration", forged(func(a *pushtest.Authenticator) { a.Type = "webauthn.create" }), "bad_passkey"},
		{"of another user", forged(func(a *pushtest.Authenticator) { a.Handle = []byte("bob1") }), "bad_passkey"},
		{"for another prompt", func([]byte) []byte { return mine.Assert(with(func(d *device.Decision) { d.Prompt = "p2" })) }, "bad_passkey"},
		{"for another number", func([]byte) []byte { return mine.Assert(with(func(d *device.Decision) { d.Number = "24" })) }, "bad_passkey"},
		{"for a denial", func([]byte) []byte {
			return mine.Assert(with(func(d *device.Decision) { d.Action, d.Number = device.ActionDeny, "" }))
		}, "bad_passkey"},
		{"for another device", func([]byte) []byte { return mine.Assert(with(func(d *device.Decision) { d.Device = "anna2" })) }, "bad_passkey"},
		{"for any challenge", func([]byte) []byte { return mine.Assert(make([]byte, 32)) }, "bad_passkey"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, b, _ := r.do(t, request{method: "POST", target: "/api/v1/prompts/p1/decision", body: r.approval(t, approve, c.assert), sign: "anna1"})
			if b.Code != c.code || status/100 != 4 {
				t.Errorf("got %d %q, want %q", status, b.Code, c.code)
			}
		})
	}
	// Without the passkey a caller does not learn whether a number is right, or uses up the one try.
	wrong := approve
	wrong.Number = "24"
	if _, b, _ := r.do(t, request{method: "POST", target: "/api/v1/prompts/p1/decision", body: r.approval(t, wrong, nil), sign: "anna1"}); b.Code != "passkey_required" {
		t.Errorf("wrong number without passkey: got %q; want \"passkey_required\"", b.Code)
	}
	select {
	case err := <-done:
		t.Fatalf("the prompt ended: %v", err)
	default:
	}
	mine.Handle = []byte("anna1")
	body := r.approval(t, approve, mine.Assert)
	if status, b, _ := r.do(t, request{method: "POST", target: "/api/v1/prompts/p1/decision", body: body, sign: "anna1"}); status != 200 {
		t.Fatalf("the right one: got %d %q; want 200", status, b.Code)
	}
	if err := <-done; err != nil {
		t.Errorf("Push: got error %v; want none", err)
	}
	if _, b, _ := r.do(t, request{method: "POST", target: "/api/v1/prompts/p1/decision", body: body, sign: "anna1"}); b.Code != "already_decided" {
		t.Errorf("again: got %q; want \"already_decided\"", b.Code)
	}
	r.prompt(t, "p2", "42")
	again := approve
	again.Prompt = "p2"
	if _, b, _ := r.do(t, request{method: "POST", target: "/api/v1/prompts/p2/decision",
		body: r.approval(t, again, func([]byte) []byte { return mine.Assert(with(func(*device.Decision) {})) }), sign: "anna1"}); b.Code != "bad_passkey" {
		t.Errorf("replayed for the next prompt: %q", b.Code)
	}
}

// TestPasskeyCount: an authenticator that counts must count on; one that does not
// may go on like that.
func TestPasskeyCount(t *testing.T) {
	r := newRig(t)
	r.passkeys(t)
	a := r.register(t, "anna1")
	for i, c := range []struct {
		count uint32
		code  string
	}{{0, ""}, {0, ""}, {5, ""}, {5, "bad_passkey"}, {4, "bad_passkey"}, {0, "bad_passkey"}, {6, ""}} {
		id := fmt.Sprint("p", i)
		done := r.prompt(t, id, "")
		a.Count = c.count
		d := device.Decision{Device: "anna1", Prompt: id, Action: device.ActionApprove}
		if _, b, _ := r.do(t, request{method: "POST", target: "/api/v1/prompts/" + id + "/decision", body: r.approval(t, d, a.Assert), sign: "anna1"}); b.Code != c.code {
			t.Errorf("%d: count %d: got %q, want %q", i, c.count, b.Code, c.code)
		}
		if c.code != "" {
			deny := device.Decision{Device: "anna1", Prompt: id, Action: device.ActionDeny}
			if status, _, _ := r.do(t, request{method: "POST", target: "/api/v1/prompts/" + id + "/decision", body: r.approval(t, deny, nil), sign: "anna1"}); status != 200 {
				t.Errorf("deny: got %d; want 200", status)
			}
		}
		<-done
	}
}

// TestPasskeyPolicy: who needs a passkey is told so, and cannot approve without;
// everybody can deny.
func TestPasskeyPolicy(t *testing.T) {
	for _, c := range []struct {
		name              string
		has, needs, party bool
		refused           string
		marked            bool
		code              string
	}{
		{"none, and none is needed", false, false, true, "", false, ""},
		{"none, and it is needed", false, true, true, "passkey_required", false, "passkey_required"},
		{"none, needed, and they are not checked", false, true, false, "passkey_required", false, "passkey_required"},
		{"one", true, false, true, "", true, "passkey_required"},
		{"one, and they are checked no longer", true, false, false, "no_passkeys", true, "passkey_required"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.passkeys(t)
			if c.has {
				r.register(t, "anna1")
			}
			r.Approver.RequirePasskey = c.needs
			if !c.party {
				r.Approver.Passkeys = nil
			}
			r.prompt(t, "p1", "")
			l, err := r.phone("anna1").Prompts(t.Context())
			if err != nil || len(l.Prompts) != 1 || l.Prompts[0].RefusedCode != c.refused || (l.Prompts[0].Refused == "") != (c.refused == "") || l.Prompts[0].Passkey != c.marked {
				t.Fatalf("got %+v, %v", l, err)
			}
			d := device.Decision{Device: "anna1", Prompt: "p1", Action: device.ActionApprove}
			if _, b, _ := r.do(t, request{method: "POST", target: "/api/v1/prompts/p1/decision", body: r.approval(t, d, nil), sign: "anna1"}); b.Code != c.code {
				t.Errorf("approve: got %q; want %q", b.Code, c.code)
			}
			if c.code == "" {
				return
			}
			d.Action = device.ActionNotMe
			if status, b, _ := r.do(t, request{method: "POST", target: "/api/v1/prompts/p1/decision", body: r.approval(t, d, nil), sign: "anna1"}); status != 200 {
				t.Errorf("not me: got %d %q; want 200", status, b.Code)
			}
		})
	}
}

func TestRelyingPartyNames(t *testing.T) {
	for _, id := range []string{"", "127.0.0.1", "::1", "https://mfa.example.org", "mfa.example.org:8443", "a b"} {
		if _, err := NewPasskeys(id, testOrigin, nil); err == nil {
			t.Errorf("%q is taken; want an error", id)
		}
	}
}

// passkeysOf makes Passkeys and a device that can have one.
func passkeysOf(f testing.TB) (*Passkeys, device.Device, *pushtest.Store) {
	st := &pushtest.Store{}
	st.Add(f, "anna", "anna1", device.MaxVersion)
	p, err := NewPasskeys(testRP, testOrigin, st)
	if err != nil {
		f.Fatal(err)
	}
	d, _ := st.Device(f.Context(), "anna1")
	return p, d, st
}

func FuzzPasskeyRegistration(f *testing.F) {
	p, d, _ := passkeysOf(f)
	f.Add(pushtest.NewAuthenticator(f, testRP, testOrigin).Register(device.Encode(make([]byte, 32))))
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"attestationObject":"oA","clientDataJSON":"e30"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := p.offer(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if _, err := p.register(t.Context(), d, body); err == nil {
			t.Errorf("%q is taken", body) // nobody can guess the challenge
		}
	})
}

func FuzzPasskeyAssertion(f *testing.F) {
	p, d, st := passkeysOf(f)
	a := pushtest.NewAuthenticator(f, testRP, testOrigin)
	creation, err := p.offer(f.Context(), d)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := p.register(f.Context(), d, a.Register(creation.Response.Challenge.String())); err != nil {
		f.Fatal(err)
	}
	d, _ = st.Device(f.Context(), "anna1")
	challenge := make([]byte, 32)
	f.Add(a.Assert(challenge))
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"authenticatorData":"AA","clientDataJSON":"e30","signature":"AA"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		// Not the challenge of the seed: nothing that is made of it is right.
		if err := p.VerifyPasskey(t.Context(), d, []byte(strings.Repeat("x", 32)), body); err == nil {
			t.Errorf("%q is taken; want an error", body)
		}
	})
}
