package push

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
)

// What RFC 8291 Appendix A has as receiver.
const (
	vectorReceiver = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	vectorAuth     = "BTBZMqHH6r4Tts7J_aSIgg"
)

// TestRFC8291 is the example of RFC 8291 Appendix A, byte for byte.
func TestRFC8291(t *testing.T) {
	sender, err := ecdh.P256().NewPrivateKey(mustDecode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	if err != nil {
		t.Fatal(err)
	}
	text := "When I grow up, I want to be a watermelon"
	sub := &WebSubscription{Key: mustDecode(vectorReceiver), Auth: mustDecode(vectorAuth)}
	got, err := sealRecord([]byte(text), len(text), sub, sender, mustDecode("DGv6ra1nlYgDCS1FRnbzlw"))
	const want = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_" +
		"yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
	if err != nil || Encode(got) != want {
		t.Errorf("got %s, %v\nwant %s", Encode(got), err, want)
	}
}

// TestMessageSize: the length on the way tells nothing, and no two are alike.
func TestMessageSize(t *testing.T) {
	sub := &WebSubscription{Key: mustDecode(vectorReceiver), Auth: mustDecode(vectorAuth)}
	seen := map[string]bool{}
	for _, id := range []string{"1", "1", strings.Repeat("x", maxID)} {
		body, err := WebMessage{Kind: WebKindPrompt, ID: id}.seal(sub)
		if err != nil || len(body) != 16+4+1+65+plainSize+1+16 {
			t.Errorf("id %q: %d bytes, %v", id, len(body), err)
		}
		if seen[string(body[:16])] || seen[string(body[21:86])] {
			t.Error("the salt or the key was used before")
		}
		seen[string(body[:16])], seen[string(body[21:86])] = true, true
	}
	if _, err := (WebMessage{Kind: WebKindPrompt, ID: strings.Repeat("x", plainSize)}).seal(sub); err == nil {
		t.Error("a message that is too long was sealed")
	}
}

func subscriptionJSON(endpoint, key, auth string) []byte {
	text, _ := json.Marshal(map[string]any{"endpoint": endpoint, "expirationTime": nil, "keys": map[string]string{"p256dh": key, "auth": auth}})
	return text
}

func TestParseWebSubscription(t *testing.T) {
	const endpoint = "https://fcm.googleapis.com/fcm/send/abc:def"
	sub, err := ParseWebSubscription(subscriptionJSON(endpoint, vectorReceiver, vectorAuth))
	if err != nil || sub.Endpoint != endpoint || Encode(sub.Key) != vectorReceiver || Encode(sub.Auth) != vectorAuth {
		t.Errorf("got %+v, %v", sub, err)
	}
	offCurve := mustDecode(vectorReceiver)
	offCurve[64] ^= 1
	for name, text := range map[string][]byte{
		"no JSON":           []byte("endpoint"),
		"empty":             []byte("{}"),
		"no endpoint":       subscriptionJSON("", vectorReceiver, vectorAuth),
		"long endpoint":     subscriptionJSON("https://fcm.googleapis.com/"+strings.Repeat("x", maxEndpoint), vectorReceiver, vectorAuth),
		"no key":            subscriptionJSON(endpoint, "", vectorAuth),
		"point at infinity": subscriptionJSON(endpoint, "AA", vectorAuth),
		"compressed":        subscriptionJSON(endpoint, Encode(append([]byte{2}, mustDecode(vectorReceiver)[1:33]...)), vectorAuth),
		"off the curve":     subscriptionJSON(endpoint, Encode(offCurve), vectorAuth),
		"padded":            subscriptionJSON(endpoint, vectorReceiver+"=", vectorAuth),
		"no auth":           subscriptionJSON(endpoint, vectorReceiver, ""),
		"short auth":        subscriptionJSON(endpoint, vectorReceiver, "AAAA"),
		"endpoint type":     []byte(`{"endpoint":["https://fcm.googleapis.com/"]}`),
	} {
		if got, err := ParseWebSubscription(text); !errors.Is(err, ErrMalformed) || got != nil {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func FuzzParseWebSubscription(f *testing.F) {
	f.Add(subscriptionJSON("https://fcm.googleapis.com/fcm/send/abc:def", vectorReceiver, vectorAuth))
	f.Add([]byte(`{"endpoint":"https://127.0.0.1\\@fcm.googleapis.com/","keys":{}}`))
	s, err := ParsePushService("*.notify.windows.com")
	if err != nil {
		f.Fatal(err)
	}
	w := NewWebPush(WebPushOptions{Services: []PushService{s}})
	f.Fuzz(func(t *testing.T, text []byte) {
		sub, err := ParseWebSubscription(text)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if w.Accepts(sub.Endpoint) == nil {
			u, err := url.Parse(sub.Endpoint)
			if err != nil || u.Scheme != "https" || !strings.HasSuffix(strings.ToLower(u.Hostname()), ".notify.windows.com") || u.User != nil {
				t.Fatalf("accepts %q", sub.Endpoint)
			}
		}
		if _, err := (WebMessage{Kind: WebKindPrompt, ID: "1"}).seal(sub); err != nil {
			t.Fatal(err)
		}
	})
}

func services(t testing.TB, texts ...string) []PushService {
	t.Helper()
	var list []PushService
	for _, text := range texts {
		s, err := ParsePushService(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		list = append(list, s)
	}
	return list
}

// TestAccepts: no request goes where the operator did not say.
func TestAccepts(t *testing.T) {
	w := NewWebPush(WebPushOptions{Services: services(t, append(PushServices(), "push.example.org:8443", "192.0.2.7")...)})
	for endpoint, want := range map[string]error{
		"https://fcm.googleapis.com/fcm/send/abc:def":              nil,
		"https://FCM.googleapis.com:443/x":                         nil,
		"https://updates.push.services.mozilla.com/wpush/v2/x?y=z": nil,
		"https://wns2-par02p.notify.windows.com/w/?token=x":        nil,
		"https://web.push.apple.com/x":                             nil,
		"https://api.push.apple.com/x":                             nil,
		"https://push.example.org:8443/x":                          nil,
		"https://192.0.2.7/x":                                      nil,
		"http://fcm.googleapis.com/x":                              ErrMalformed,
		"https:fcm.googleapis.com/x":                               ErrMalformed,
		"//fcm.googleapis.com/x":                                   ErrMalformed,
		"https:///x":                                               ErrMalformed,
		"https://user@fcm.googleapis.com/x":                        ErrMalformed,
		"https://fcm.googleapis.com@127.0.0.1/x":                   ErrMalformed,
		"https://fcm.googleapis.com/x#y":                           ErrMalformed,
		"https://fcm.googleapis.com\n/":                            ErrMalformed,
		"https://fcm.googleapis.com:8443/x":                        ErrPushService,
		"https://fcm.googleapis.com./x":                            ErrPushService,
		"https://fcm.googleapis.com.example.org/x":                 ErrPushService,
		"https://evilfcm.googleapis.com/x":                         ErrPushService,
		"https://notify.windows.com/x":                             ErrPushService,
		"https://.notify.windows.com/x":                            ErrPushService,
		"https://evilnotify.windows.com/x":                         ErrPushService,
		"https://example.org%2f.notify.windows.com/x":              ErrMalformed,
		"https://example.org_.notify.windows.com/x":                ErrPushService,
		"https://push.example.org/x":                               ErrPushService,
		"https://127.0.0.1/x":                                      ErrPushService,
		"https://[::1]/x":                                          ErrPushService,
		"https://169.254.169.254/latest/meta-data":                 ErrPushService,
		"https://localhost/x":                                      ErrPushService,
		"https://\uff46cm.googleapis.com/x":                        ErrPushService,
	} {
		if got := w.Accepts(endpoint); !errors.Is(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%s: got %v, want %v", endpoint, got, want)
		}
	}
	for _, text := range []string{"", "*", "*.com", "a:b", "a:", "a:65536", "a:-1", "a:http", "https://a", "a/b", "A", "a.", ".a", "a..b", "*.*.a.b", "u@a"} {
		if s, err := ParsePushService(text); err == nil {
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
	w := NewWebPush(WebPushOptions{Services: []PushService{{host: "localhost", port: "9"}, {host: "127.0.0.1", port: "9", inside: true}}})
	for address, want := range map[string]string{
		"localhost:9": "none of the internet", "127.0.0.1:9": "refused", "127.0.0.1:10": ErrPushService.Error(), "example.org:443": ErrPushService.Error(),
	} {
		if c, err := w.dial(t.Context(), "tcp", address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v; want %q", address, c, err, want)
		}
	}
	for _, s := range services(t, PushServices()...) {
		if s.inside {
			t.Errorf("%s may have an address inside", s.host)
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
		if got := readRetryAfter(value, now); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

func TestVAPID(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVAPID(key, "")
	if err != nil || len(mustDecode(v.PublicKey())) != 65 {
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
		if got := string(mustDecode(strings.Split(header, ".")[1])); got != want {
			t.Errorf("%s: got %s, want %s", endpoint, got, want)
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []*ecdsa.PrivateKey{nil, p384} {
		if _, err := NewVAPID(wrong, ""); err == nil {
			t.Error("a key of another curve, or none, is taken")
		}
	}
}
