package webpush

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa/device"
)

// What RFC 8291 Appendix A has as receiver.
const (
	vectorReceiver = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	vectorAuth     = "BTBZMqHH6r4Tts7J_aSIgg"
)

// TestRFC8291 is the example of RFC 8291 Appendix A, byte for byte.
func TestRFC8291(t *testing.T) {
	sender, err := ecdh.P256().NewPrivateKey(octets("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	if err != nil {
		t.Fatal(err)
	}
	text := "When I grow up, I want to be a watermelon"
	sub := &device.WebSubscription{Key: octets(vectorReceiver), Auth: octets(vectorAuth)}
	got, err := sealRecord([]byte(text), len(text), sub, sender, octets("DGv6ra1nlYgDCS1FRnbzlw"))
	const want = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_" +
		"yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
	if err != nil || device.Encode(got) != want {
		t.Errorf("got %s, %v\nwant %s", device.Encode(got), err, want)
	}
}

// TestMessageSize: the length on the way tells nothing, and no two are alike.
func TestMessageSize(t *testing.T) {
	sub := &device.WebSubscription{Key: octets(vectorReceiver), Auth: octets(vectorAuth)}
	seen := map[string]bool{}
	for _, id := range []string{"1", "1", strings.Repeat("x", device.MaxID)} {
		body, err := Message{Kind: KindPrompt, ID: id}.seal(sub)
		if err != nil || len(body) != 16+4+1+65+plainSize+1+16 {
			t.Errorf("id %q: %d bytes, %v", id, len(body), err)
		}
		if seen[string(body[:16])] || seen[string(body[21:86])] {
			t.Error("the salt or the key was used before")
		}
		seen[string(body[:16])], seen[string(body[21:86])] = true, true
	}
	if _, err := (Message{Kind: KindPrompt, ID: strings.Repeat("x", plainSize)}).seal(sub); err == nil {
		t.Error("a message that is too long was sealed: got no error; want one")
	}
}

func subscriptionJSON(endpoint, key, auth string) []byte {
	text, _ := json.Marshal(map[string]any{"endpoint": endpoint, "expirationTime": nil, "keys": map[string]string{"p256dh": key, "auth": auth}})
	return text
}

func FuzzParseWebSubscription(f *testing.F) {
	f.Add(subscriptionJSON("https://fcm.googleapis.com/fcm/send/abc:def", vectorReceiver, vectorAuth))
	f.Add([]byte(`{"endpoint":"https://127.0.0.1\\@fcm.googleapis.com/","keys":{}}`))
	s, err := ParseService("*.notify.windows.com")
	if err != nil {
		f.Fatal(err)
	}
	w := New(Options{Services: []Service{s}})
	f.Fuzz(func(t *testing.T, text []byte) {
		sub, err := device.ParseWebSubscription(text)
		if err != nil {
			if !errors.Is(err, device.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if w.Accepts(sub.Endpoint) == nil {
			u, err := url.Parse(sub.Endpoint)
			if err != nil || u.Scheme != "https" || !strings.HasSuffix(strings.ToLower(u.Hostname()), ".notify.windows.com") || u.User != nil {
				t.Fatalf("got accepts %q; want no error, Scheme \"https\", \".notify.windows.com\" last, no User", sub.Endpoint)
			}
		}
		if _, err := (Message{Kind: KindPrompt, ID: "1"}).seal(sub); err != nil {
			t.Fatal(err)
		}
	})
}

func services(t testing.TB, texts ...string) []Service {
	t.Helper()
	var list []Service
	for _, text := range texts {
		s, err := ParseService(text)
		if err != nil {
			t.Fatalf("%s: got error %v; want none", text, err)
		}
		list = append(list, s)
	}
	return list
}

// TestAccepts: no request goes where the operator did not say.
func TestAccepts(t *testing.T) {
	w := New(Options{Services: services(t, append(BrowserServices(), "push.example.org:8443", "192.0.2.7")...)})
	for endpoint, want := range map[string]error{
		"https://fcm.googleapis.com/fcm/send/abc:def":              nil,
		"https://FCM.googleapis.com:443/x":                         nil,
		"https://updates.push.services.mozilla.com/wpush/v2/x?y=z": nil,
		"https://wns2-par02p.notify.windows.com/w/?token=x":        nil,
		"https://web.push.apple.com/x":                             nil,
		"https://api.push.apple.com/x":                             nil,
		"https://push.example.org:8443/x":                          nil,
		"https://192.0.2.7/x":                                      nil,
		"http://fcm.googleapis.com/x":                              device.ErrMalformed,
		"https:fcm.googleapis.com/x":                               device.ErrMalformed,
		"//fcm.googleapis.com/x":                                   device.ErrMalformed,
		"https:///x":                                               device.ErrMalformed,
		"https://user@fcm.googleapis.com/x":                        device.ErrMalformed,
		"https://fcm.googleapis.com@127.0.0.1/x":                   device.ErrMalformed,
		"https://fcm.googleapis.com/x#y":                           device.ErrMalformed,
		"https://fcm.googleapis.com\n/":                            device.ErrMalformed,
		"https://fcm.googleapis.com:8443/x":                        ErrService,
		"https://fcm.googleapis.com./x":                            ErrService,
		"https://fcm.googleapis.com.example.org/x":                 ErrService,
		"https://evilfcm.googleapis.com/x":                         ErrService,
		"https://notify.windows.com/x":                             ErrService,
		"https://.notify.windows.com/x":                            ErrService,
		"https://evilnotify.windows.com/x":                         ErrService,
		"https://example.org%2f.notify.windows.com/x":              device.ErrMalformed,
		"https://example.org_.notify.windows.com/x":                ErrService,
		"https://push.example.org/x":                               ErrService,
		"https://127.0.0.1/x":                                      ErrService,
		"https://[::1]/x":                                          ErrService,
		"https://169.254.169.254/latest/meta-data":                 ErrService,
		"https://localhost/x":                                      ErrService,
		"https://\uff46cm.googleapis.com/x":                        ErrService,
	} {
		if got := w.Accepts(endpoint); !errors.Is(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%s: got %v, want %v", endpoint, got, want)
		}
	}
	for _, text := range []string{"", "*", "*.com", "a:b", "a:", "a:65536", "a:-1", "a:http", "https://a", "a/b", "A", "a.", ".a", "a..b", "*.*.a.b", "u@a"} {
		if s, err := ParseService(text); err == nil {
			t.Errorf("%q: got %+v", text, s)
		}
	}
}

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"142.250.185.106": true, "2a00:1450:4001:82a::200a": true, "64:ff9b::8efa:b96a": true,
		"127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"100.64.0.1": false, "0.0.0.0": false, "0.1.2.3": false, "224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false,
		"192.0.0.8": false, "198.18.0.1": false, "192.0.2.1": false,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::127.0.0.1": false, "fe80::1%eth0": false,
		"fd00::1": false, "ff02::1": false, "64:ff9b::7f00:1": false, "64:ff9b:1::1": false, "2002:7f00:1::": false, "2002:0a00:1::1": false,
		"2001:db8::1": false, "2001::1": false, "fec0::1": false,
	} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: got %v", text, got)
		}
	}
}

// TestDialLooksAtAddress: a name of the list that leads to this machine is not
// connected to, unless the operator has named it.
func TestDialLooksAtAddress(t *testing.T) {
	w := New(Options{Services: []Service{{host: "localhost", port: "9"}, {host: "127.0.0.1", port: "9", inside: true}}})
	for address, want := range map[string]string{
		"localhost:9": "none of the internet", "127.0.0.1:9": "refused", "127.0.0.1:10": ErrService.Error(), "example.org:443": ErrService.Error(),
	} {
		if c, err := w.dial(t.Context(), "tcp", address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v; want %q", address, c, err, want)
		}
	}
	for _, s := range services(t, BrowserServices()...) {
		if s.inside {
			t.Errorf("%s may have an address inside; want inside false", s.host)
		}
	}
	if s := services(t, "push.example.org", "*.example.org"); !s[0].inside || s[1].inside {
		t.Errorf("got %+v", s)
	}
}

func TestSecondsLeft(t *testing.T) {
	now := time.Now()
	for left, want := range map[time.Duration]int{
		-time.Second: 1, 0: 1, 900 * time.Millisecond: 1, 30*time.Second + 1: 30, time.Minute: 60, time.Hour: 60,
	} {
		if got := secondsLeft(now.Add(left), now); got != want {
			t.Errorf("%v: got %d, want %d", left, got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-1": 0, "0": 0, "7": 7 * time.Second, "99999999999999999999": 0, "4294967295": 24 * time.Hour,
		"Sun, 22 Nov 2026 12:00:09 GMT": 9 * time.Second, "Sun, 22 Nov 2026 11:00:00 GMT": 0, "Sun, 22 Nov 2037 12:00:00 GMT": 24 * time.Hour,
	} {
		if got := RetryAfter(value, now); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

func TestVAPID(t *testing.T) {
	key, err := device.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVAPID(key, "")
	if err != nil || len(octets(v.PublicKey())) != 65 {
		t.Fatalf("got %+v, %v", v, err)
	}
	now := time.Unix(1795348800, 0)
	for endpoint, want := range map[string]string{
		"https://fcm.googleapis.com/fcm/send/x": `{"aud":"https://fcm.googleapis.com","exp":1795352400}`,
		"https://FCM.googleapis.com:443/x":      `{"aud":"https://fcm.googleapis.com","exp":1795352400}`,
		"https://push.example.org:8443/x":       `{"aud":"https://push.example.org:8443","exp":1795352400}`,
	} {
		u, _ := url.Parse(endpoint)
		header, err := v.authorization(u, now)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(octets(strings.Split(header, ".")[1])); got != want {
			t.Errorf("%s: got %s, want %s", endpoint, got, want)
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []*ecdsa.PrivateKey{nil, p384} {
		if _, err := NewVAPID(wrong, ""); err == nil {
			t.Error("a key of another curve, or none, is taken: got no error; want one")
		}
	}
}

func octets(s string) []byte { b, _ := device.Decode(s); return b }
