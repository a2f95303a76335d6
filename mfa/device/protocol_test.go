package device

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

func TestSigningInputIsInjective(t *testing.T) {
	seen := map[string][]string{}
	for _, fields := range [][]string{{"ab", "c"}, {"a", "bc"}, {"abc"}, {"abc", ""}, {"", "abc"}, {"a", "b", "c"}, {}, {""}} {
		in := string(signingInput(fields...))
		if other, ok := seen[in]; ok {
			t.Errorf("%q and %q have the same signing input", other, fields)
		}
		seen[in] = fields
	}
}

// TestPurposesApart: a signature for one purpose is none for another, even over
// the same texts.
func TestPurposesApart(t *testing.T) {
	key, pub := vectorSigner(t)
	der, _ := Decode(pub)
	d := Decision{Version: 1, Device: "d", Prompt: "p", Action: ActionDeny}
	if err := d.Sign(key, "u"); err != nil {
		t.Fatal(err)
	}
	a := RequestAuth{Version: 1, Device: "d", Signature: d.Signature}
	e := EnrollRequest{Version: 1, Token: "d", Name: "u"}
	for name, input := range map[string][]byte{"request": a.input("u", "p", nil), "enroll": e.input()} {
		if err := verify(der, input, d.Signature); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func enrollment(t *testing.T) (EnrollRequest, *ecdsa.PrivateKey) {
	key, pub := vectorSigner(t)
	return EnrollRequest{Version: 2, Token: "TOKEN", Name: "Anna's phone", Key: pub}, key
}

func TestEnrollRequest(t *testing.T) {
	spki := func(pub any) string {
		der, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		return Encode(der)
	}
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	other, _ := NewKey()
	for _, c := range []struct {
		name   string
		change func(*EnrollRequest)
		tamper func(*EnrollRequest)
		want   error // nil: accepted; errVersion: a *VersionError
	}{
		{name: "right", change: func(*EnrollRequest) {}},
		{name: "name in another script", change: func(e *EnrollRequest) { e.Name = "Ännchens 手机" }},
		{name: "no name", change: func(e *EnrollRequest) { e.Name = "" }, want: ErrMalformed},
		{name: "blank name", change: func(e *EnrollRequest) { e.Name = "  " }, want: ErrMalformed},
		{name: "long name", change: func(e *EnrollRequest) { e.Name = strings.Repeat("ä", 65) }, want: ErrMalformed},
		{name: "escape in name", change: func(e *EnrollRequest) { e.Name = "a\x1b[2J" }, want: ErrMalformed},
		{name: "name turns direction", change: func(e *EnrollRequest) { e.Name = "a\u202eb" }, want: ErrMalformed},
		{name: "name is no UTF-8", change: func(e *EnrollRequest) { e.Name = "a\xff" }, want: ErrMalformed},
		{name: "no token", change: func(e *EnrollRequest) { e.Token = "" }, want: ErrInvitation},
		{name: "long token", change: func(e *EnrollRequest) { e.Token = strings.Repeat("A", 65) }, want: ErrInvitation},
		{name: "key not base64url", change: func(e *EnrollRequest) { e.Key = "+/==" }, want: ErrMalformed},
		{name: "no key", change: func(e *EnrollRequest) { e.Key = "" }, want: ErrMalformed},
		{name: "P-384", change: func(e *EnrollRequest) { e.Key = spki(p384.Public()) }, want: ErrMalformed},
		{name: "RSA", change: func(e *EnrollRequest) { e.Key = spki(rsaKey.Public()) }, want: ErrMalformed},
		{name: "someone else's key", change: func(e *EnrollRequest) { e.Key = spki(other.Public()) }, want: ErrSignature},
		{name: "version 0", change: func(e *EnrollRequest) { e.Version = 0 }, want: &VersionError{}},
		{name: "a version to come", change: func(e *EnrollRequest) { e.Version = MaxVersion + 1 }, want: &VersionError{}},
		{name: "tampered version", tamper: func(e *EnrollRequest) { e.Version = 1 }, want: ErrSignature},
		{name: "tampered name", tamper: func(e *EnrollRequest) { e.Name = "mine" }, want: ErrSignature},
		{name: "another token", tamper: func(e *EnrollRequest) { e.Token = "OTHER" }, want: ErrSignature},
		{name: "no signature", tamper: func(e *EnrollRequest) { e.Signature = "" }, want: ErrSignature},
		{name: "signature not base64url", tamper: func(e *EnrollRequest) { e.Signature = "*" }, want: ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, key := enrollment(t)
			if c.change != nil {
				c.change(&e)
			}
			sig, err := Sign(key, e.input())
			if err != nil {
				t.Fatal(err)
			}
			e.Signature = Encode(sig)
			if c.tamper != nil {
				c.tamper(&e)
			}
			d, hash, err := e.Device(time.Now())
			var version *VersionError
			if _, wantVersion := c.want.(*VersionError); wantVersion {
				if !errors.As(err, &version) {
					t.Errorf("got %v", err)
				}
			} else if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if c.want == nil && (hash != sha256.Sum256([]byte(e.Token)) || d.Name != e.Name || d.Version != 2 || len(d.ID) != 16) {
				t.Errorf("got %+v", d)
			}
			if c.want != nil && (d.ID != "" || hash != [32]byte{}) {
				t.Errorf("a refused request gives a device: %+v", d)
			}
		})
	}
}

func TestRequestAuth(t *testing.T) {
	key, pub := vectorSigner(t)
	der, _ := Decode(pub)
	now := time.Unix(1795348800, 0)
	header, err := SignRequest(key, 2, "dev", now, "POST", "/api/v1/x?y=1", []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := ParseRequestAuth(header)
	if err != nil {
		t.Fatal(err)
	}
	if a.String() != header {
		t.Errorf("written again: %s, was %s", a, header)
	}
	if err := a.Verify(der, "POST", "/api/v1/x?y=1", []byte("body")); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		name, method, target, body string
		change                     func(*RequestAuth)
	}{
		{name: "method", method: "GET", target: "/api/v1/x?y=1", body: "body"},
		{name: "path", method: "POST", target: "/api/v1/z?y=1", body: "body"},
		{name: "query", method: "POST", target: "/api/v1/x?y=2", body: "body"},
		{name: "body", method: "POST", target: "/api/v1/x?y=1", body: "bodY"},
		{name: "time", method: "POST", target: "/api/v1/x?y=1", body: "body", change: func(a *RequestAuth) { a.Time++ }},
		{name: "nonce", method: "POST", target: "/api/v1/x?y=1", body: "body", change: func(a *RequestAuth) { a.Nonce = "AAECAwQFBgcICQoLDA0ODw" }},
		{name: "version", method: "POST", target: "/api/v1/x?y=1", body: "body", change: func(a *RequestAuth) { a.Version = 1 }},
		{name: "device", method: "POST", target: "/api/v1/x?y=1", body: "body", change: func(a *RequestAuth) { a.Device = "vde" }},
	} {
		b := a
		if c.change != nil {
			c.change(&b)
		}
		if err := b.Verify(der, c.method, c.target, []byte(c.body)); !errors.Is(err, ErrSignature) {
			t.Errorf("another %s: got %v", c.name, err)
		}
	}
	for _, c := range []struct {
		time int64
		want time.Duration
	}{{now.Unix(), 0}, {now.Unix() - 61, 61 * time.Second}, {now.Unix() + 61, 61 * time.Second},
		{math.MaxInt64, math.MaxInt64}, {math.MinInt64, math.MaxInt64}, {0, now.Sub(time.Unix(0, 0))}} {
		if got := (RequestAuth{Time: c.time}).Age(now); got != c.want {
			t.Errorf("age of %d: got %v, want %v", c.time, got, c.want)
		}
	}
}

func TestParseRequestAuthRefuses(t *testing.T) {
	const nonce, sig = "AAECAwQFBgcICQoLDA0ODw", "AAECAwQFBgcICQoLDA0OD0AAECAwQFBgcICQoLDA0OD0AAECAwQFBgcICQoLDA0OD0AAECAwQFBgcICQoLDA0OD0"
	good := "Radmatch version=2, device=d, time=1, nonce=" + nonce + ", signature=" + Encode(make([]byte, 64))
	if _, err := ParseRequestAuth(good); err != nil {
		t.Fatal(err)
	}
	for _, h := range []string{
		"", "Radmatch", "Radmatch ", "Basic " + good[9:], "Bearer x",
		strings.Replace(good, "version=2, ", "", 1),
		strings.Replace(good, "version=2", "version=two", 1),
		strings.Replace(good, "device=d", "device=", 1),
		strings.Replace(good, "device=d", "device="+strings.Repeat("d", 65), 1),
		strings.Replace(good, "time=1", "time=1e3", 1),
		strings.Replace(good, nonce, nonce[:20], 1),
		strings.Replace(good, nonce, nonce+"=", 1),
		good + ", version=1", good + ", device=d", good + ", extra=1", good + "A", good + ",",
		"Radmatch version=2, device=d, time=1, nonce=" + nonce + ", signature=" + sig,
		good + strings.Repeat(" ", 600),
	} {
		if a, err := ParseRequestAuth(h); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: got %+v, %v", h, a, err)
		}
	}
}

func TestInvitationLink(t *testing.T) {
	for _, base := range []string{"https://mfa.example.org", "http://127.0.0.1:8080", "https://example.org/mfa", "https://[2001:db8::1]:8443"} {
		token, inv := NewInvitation(mfa.NameOf("anna"), time.Now())
		link := InvitationLink(base, token)
		gotBase, gotToken, err := ParseInvitationLink(link)
		if err != nil || gotBase != base || gotToken != token {
			t.Errorf("%s: got %q %q %v", link, gotBase, gotToken, err)
		}
		if link2 := InvitationLink(base+"/", token); link2 != link {
			t.Errorf("with a slash: got %s; want %s", link2, link)
		}
		if inv.Hash != sha256.Sum256([]byte(token)) || len(token) < 26 {
			t.Errorf("token %q", token)
		}
	}
	for _, link := range []string{"", "#", "https://mfa.example.org/enroll", "https://mfa.example.org/enroll#", "ftp://h/enroll#AAAA", "https:///enroll#AAAA",
		"https://h/enrol#AAAA", "https://h/enroll?x#AAAA", "https://u:p@h/enroll#AAAA", "https://h/enroll#AA%0a", "https://h/enroll#aa", "https://h/enroll#" + strings.Repeat("A", 65)} {
		if base, token, err := ParseInvitationLink(link); err == nil {
			t.Errorf("%q: got %q %q", link, base, token)
		} else if strings.Contains(err.Error(), "AAAA") {
			t.Errorf("%q: the error has the token: got %v; want no \"AAAA\" in it", link, err)
		}
	}
}

func FuzzRequestAuth(f *testing.F) {
	f.Add("Radmatch version=2, device=d, time=1, nonce=AAECAwQFBgcICQoLDA0ODw, signature=" + Encode(make([]byte, 64)))
	f.Add("Radmatch version=2,version=2,,=")
	f.Fuzz(func(t *testing.T, h string) {
		a, err := ParseRequestAuth(h)
		if err != nil {
			return
		}
		b, err := ParseRequestAuth(a.String())
		if err != nil || b.String() != a.String() {
			t.Errorf("%q: read %+v, again %+v, %v", h, a, b, err)
		}
		if len(h) > maxHeader || len(a.Signature) != 64 || a.Age(time.Now()) < 0 {
			t.Errorf("%q: read %+v", h, a)
		}
	})
}

func FuzzEnrollRequest(f *testing.F) {
	f.Add([]byte(`{"version":2,"token":"T","name":"n","key":"MFkw","signature":"AA"}`))
	f.Add([]byte(`{"version":1e9,"token":null,"name":["x"]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var e EnrollRequest
		if json.Unmarshal(body, &e) != nil {
			return
		}
		if d, _, err := e.Device(time.Now()); err == nil {
			if verify(d.Key, e.input(), mustDecode(e.Signature)) != nil || d.Name == "" {
				t.Errorf("accepted %+v", e)
			}
		}
	})
}

func mustDecode(s string) []byte { b, _ := Decode(s); return b }

func FuzzInvitationLink(f *testing.F) {
	f.Add("https://mfa.example.org/enroll#ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	f.Add("http://[::1]:80/x/enroll#A")
	f.Fuzz(func(t *testing.T, link string) {
		base, token, err := ParseInvitationLink(link)
		if err != nil {
			return
		}
		base2, token2, err := ParseInvitationLink(InvitationLink(base, token))
		if err != nil || base2 != base || token2 != token {
			t.Errorf("%q: %q %q, again %q %q %v", link, base, token, base2, token2, err)
		}
	})
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte("event: sync\ndata: {\"prompts\":[{\"id\":\"p\"}]}\n\n:\n\nevent: withdrawn\ndata: {\"id\":\"p\"}\n\n"))
	f.Add([]byte("data\n\ndata:a\r\ndata: b\r\n\r\nevent:x\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		w := &watch{live: map[string]PromptView{}, tell: func(Notice) error { return nil }}
		if err := readEvents(strings.NewReader(string(stream)), w.event); err == nil {
			t.Error("a stream that ended is no error: got no error; want one")
		}
	})
}
