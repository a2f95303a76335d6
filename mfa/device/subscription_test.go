package device

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// What RFC 8291 Appendix A has as receiver.
const (
	receiverKey  = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	receiverAuth = "BTBZMqHH6r4Tts7J_aSIgg"
)

func browserJSON(endpoint, key, auth string) []byte {
	text, _ := json.Marshal(map[string]any{"endpoint": endpoint, "expirationTime": nil, "keys": map[string]string{"p256dh": key, "auth": auth}})
	return text
}

func TestParseWebSubscription(t *testing.T) {
	const endpoint = "https://fcm.googleapis.com/fcm/send/abc:def"
	sub, err := ParseWebSubscription(browserJSON(endpoint, receiverKey, receiverAuth))
	if err != nil || sub.Endpoint != endpoint || Encode(sub.Key) != receiverKey || Encode(sub.Auth) != receiverAuth {
		t.Errorf("got %+v, %v", sub, err)
	}
	offCurve := mustDecode(receiverKey)
	offCurve[64] ^= 1
	for name, text := range map[string][]byte{
		"no JSON":           []byte("endpoint"),
		"empty":             []byte("{}"),
		"no endpoint":       browserJSON("", receiverKey, receiverAuth),
		"long endpoint":     browserJSON("https://fcm.googleapis.com/"+strings.Repeat("x", maxEndpoint), receiverKey, receiverAuth),
		"no key":            browserJSON(endpoint, "", receiverAuth),
		"point at infinity": browserJSON(endpoint, "AA", receiverAuth),
		"compressed":        browserJSON(endpoint, Encode(append([]byte{2}, mustDecode(receiverKey)[1:33]...)), receiverAuth),
		"off the curve":     browserJSON(endpoint, Encode(offCurve), receiverAuth),
		"padded":            browserJSON(endpoint, receiverKey+"=", receiverAuth),
		"no auth":           browserJSON(endpoint, receiverKey, ""),
		"short auth":        browserJSON(endpoint, receiverKey, "AAAA"),
		"endpoint type":     []byte(`{"endpoint":["https://fcm.googleapis.com/"]}`),
	} {
		if got, err := ParseWebSubscription(text); !errors.Is(err, ErrMalformed) || got != nil {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}
