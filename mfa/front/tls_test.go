package front

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/radmatch/radmatch/mfa/web/webtest"
)

// replace puts a file in the place of another at once.
func replace(t testing.TB, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// pairRig is a KeyPair with a clock of the test's own.
type pairRig struct {
	*KeyPair
	t         *testing.T
	cert, key string
	logs      *observer.ObservedLogs
	clock     time.Time
}

func newPairRig(t *testing.T, cert, key []byte) *pairRig {
	dir := t.TempDir()
	r := &pairRig{t: t, cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	replace(t, r.cert, cert)
	replace(t, r.key, key)
	core, logs := observer.New(zapcore.InfoLevel)
	r.logs = logs
	var err error
	if r.KeyPair, err = OpenKeyPair(r.cert, r.key, zap.New(core)); err != nil {
		t.Fatal(err)
	}
	r.clock = time.Now()
	r.now = func() time.Time { return r.clock }
	return r
}

// serves says with which certificate a handshake after some time is answered.
func (r *pairRig) serves(after time.Duration, want int64) {
	r.t.Helper()
	r.clock = r.clock.Add(after)
	got, err := r.Certificate(&tls.ClientHelloInfo{})
	if err != nil || got.Leaf.SerialNumber.Int64() != want {
		r.t.Errorf("got %v, %v, want certificate %d", got.Leaf.SerialNumber, err, want)
	}
}

// complains demands so many lines at error level since the last call.
func (r *pairRig) complains(want int, text string) {
	r.t.Helper()
	lines := r.logs.FilterLevelExact(zapcore.ErrorLevel).All()
	r.logs.TakeAll()
	if len(lines) != want {
		r.t.Errorf("%d lines, want %d: %v", len(lines), want, lines)
	}
	for _, l := range lines {
		if m := l.ContextMap(); !strings.Contains(l.Message, text) && !strings.Contains(m["error"].(string), text) {
			r.t.Errorf("got %s %v, want %q", l.Message, m, text)
		}
	}
}

func TestKeyPairFollowsItsFiles(t *testing.T) {
	next := time.Now().Add(90 * 24 * time.Hour)
	cert1, key1 := webtest.Certificate(t, 1, next)
	cert2, key2 := webtest.Certificate(t, 2, next)
	r := newPairRig(t, cert1, key1)
	r.serves(0, 1)
	// The certificate comes first, as from most renewals: for a moment it does not fit.
	replace(t, r.cert, cert2)
	r.serves(lookEvery/2, 1)
	r.serves(lookEvery, 1)
	r.serves(lookEvery, 1)
	r.complains(1, "private key does not match")
	replace(t, r.key, key2)
	r.serves(lookEvery/2, 1)
	r.serves(lookEvery, 2)
	r.complains(0, "")
	// Written in place, and not yet complete.
	if err := os.WriteFile(r.cert, cert1[:len(cert1)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	r.serves(lookEvery, 2)
	r.complains(1, "failed to find")
	replace(t, r.cert, cert1)
	replace(t, r.key, key1)
	r.Reload() // at once
	r.serves(0, 1)
	if err := os.Remove(r.key); err != nil {
		t.Fatal(err)
	}
	r.serves(lookEvery, 1)
	r.Reload()
	r.complains(2, "no such file") // SIGHUP is answered each time
}

func TestExpiredKeyPair(t *testing.T) {
	good, goodKey := webtest.Certificate(t, 1, time.Now().Add(time.Hour))
	old, oldKey := webtest.Certificate(t, 2, time.Now().Add(-time.Hour))
	r := newPairRig(t, old, oldKey)
	if n := r.logs.FilterMessageSnippet("has expired").Len(); n != 1 {
		t.Errorf("got %d lines; want 1", n)
	}
	r.logs.TakeAll()
	r.serves(0, 2)
	replace(t, r.cert, good)
	replace(t, r.key, goodKey)
	r.serves(lookEvery, 1)
	replace(t, r.cert, old)
	replace(t, r.key, oldKey)
	r.serves(lookEvery, 1)
	r.complains(1, "expired")
}

func TestOpenKeyPairRefuses(t *testing.T) {
	cert, key := webtest.Certificate(t, 1, time.Now().Add(time.Hour))
	_, otherKey := webtest.Certificate(t, 2, time.Now().Add(time.Hour))
	for _, tt := range []struct {
		name      string
		cert, key []byte
		want      string
	}{
		{"other key", cert, otherKey, "does not match"},
		{"empty", nil, key, "failed to find"},
		{"swapped", key, cert, "failed to find"},
		{"endless", make([]byte, maxPEM+1), key, "at most 1 MiB"},
	} {
		dir := t.TempDir()
		certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
		replace(t, certFile, tt.cert)
		replace(t, keyFile, tt.key)
		_, err := OpenKeyPair(certFile, keyFile, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
	if _, err := OpenKeyPair(t.TempDir(), "/dev/null", nil); err == nil || !strings.Contains(err.Error(), "must be a file") {
		t.Errorf("a folder: got %v", err)
	}
}

// TestRefusal: what the log says of an authority's answer.
func TestRefusal(t *testing.T) {
	for _, tt := range []struct {
		status     int
		body, want string
	}{
		{200, `{"status":"valid"}`, ""},
		{200, "-----BEGIN CERTIFICATE-----", ""},
		{400, `{"type":"urn:ietf:params:acme:error:badNonce","detail":"x","status":400}`, ""},
		{429, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many","status":429}`, "urn:ietf:params:acme:error:rateLimited: too many"},
		{200, `{"status":"invalid","challenges":[{},{"error":{"type":"dns","detail":"no A"}}]}`, "dns: no A"},
		{200, `{"status":"invalid","error":{"type":"caa","detail":"no"}}`, "caa: no"},
		{200, `{"status":"invalid"}`, "invalid"},
		{502, "<html>", "Bad Gateway"},
	} {
		if got := refusal(tt.status, []byte(tt.body)); got != tt.want {
			t.Errorf("%d %s: got %q, want %q", tt.status, tt.body, got, tt.want)
		}
	}
}
