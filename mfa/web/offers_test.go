package web

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/push/pushtest"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/mfa/web/webtest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

func TestMemoryOffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemoryOffers()
		webtest.TestOffers(t, m, m, maxOffers, func() { time.Sleep(time.Minute) })
	})
}

// site is a database with one device of anna and one of bob, and the pages of two nodes.
type site struct {
	server   *postgrestest.Server
	database string
	nodes    [2]*rig
	stores   [2]*store.Store
}

func newSite(t *testing.T) *site {
	s := &site{server: postgrestest.Shared(t)}
	s.database = s.server.NewDatabase(t)
	dirs := [2]string{t.TempDir(), t.TempDir()}
	keys := make(map[string]*ecdsa.PrivateKey)
	for i := range s.nodes {
		if i == 1 { // as an operator copies it
			key, err := os.ReadFile(filepath.Join(dirs[0], "seal.key"))
			if err == nil {
				err = os.WriteFile(filepath.Join(dirs[1], "seal.key"), key, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		st, err := store.Open(t.Context(), store.Options{Dir: dirs[i], Server: true,
			URL: s.server.URL(s.database), Standby: "none", Node: fmt.Sprint("node", i)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		p, err := NewPasskeys(testRP, testOrigin, st)
		if err != nil {
			t.Fatal(err)
		}
		p.Registers, p.Offers = true, st.Offers()
		r := &rig{keys: keys, Server: &Server{Store: st, Devices: st, Passkeys: p, Approver: &push.Approver{Store: st, Passkeys: p}}}
		r.http = httptest.NewServer(r.Handler())
		t.Cleanup(r.http.Close)
		s.nodes[i], s.stores[i] = r, st
	}
	for id, user := range map[string]string{"anna1": "anna", "bob1": "bob"} {
		keys[id] = enroll(t, s.stores[0], user, id)
	}
	return s
}

func enroll(t *testing.T, st *store.Store, user, id string) *ecdsa.PrivateKey {
	t.Helper()
	key, err := device.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(id))
	in := device.Invitation{Hash: hash, User: mfa.NameOf(user), Expires: time.Now().Add(time.Hour)}
	if err := st.Invite(t.Context(), in, mfa.Event{}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Enroll(t.Context(), hash, device.Device{ID: id, Name: id, Key: public, Version: device.MaxVersion, Added: time.Now(), Seen: time.Now()}); err != nil {
		t.Fatal(err)
	}
	return key
}

// TestPasskeyAtTwoNodes: a registration that begins at one node is completed at the other,
// once, by its own device; none is where the database does not answer.
func TestPasskeyAtTwoNodes(t *testing.T) {
	s := newSite(t)
	a, b := s.nodes[0], s.nodes[1]
	register := func(r *rig, device string, body []byte) (int, string) {
		t.Helper()
		status, e, _ := r.do(t, request{method: "POST", target: "/api/v1/passkey", body: string(body), sign: device})
		return status, e.Code
	}
	check := func(what, id string, want bool) {
		t.Helper()
		for i, st := range s.stores {
			if d, err := st.Device(t.Context(), id); err != nil || (d.Passkey != nil) != want && (!want || i == 1) {
				t.Errorf("%s: %s at node %d has %+v, %v; want a passkey: %t", what, id, i, d.Passkey, err, want)
			}
		}
	}
	mine := pushtest.NewAuthenticator(t, testRP, testOrigin)

	body := mine.Register(b.offered(t, "anna1")) // enrolled at the other node just now
	if status, code := register(b, "bob1", body); status != 401 || code != "bad_passkey" {
		t.Errorf("another user's device: got %d %q; want 401 bad_passkey", status, code)
	}
	wrong := mine.Register(device.Encode(make([]byte, 32)))
	if status, code := register(b, "anna1", wrong); status != 401 || code != "bad_passkey" {
		t.Errorf("another challenge: got %d %q; want 401 bad_passkey", status, code)
	}
	if status, code := register(a, "anna1", body); status != 401 || code != "bad_passkey" {
		t.Errorf("taken at the other node: got %d %q; want 401 bad_passkey", status, code)
	}

	body = mine.Register(a.offered(t, "anna1"))
	s.server.Exec(t, s.database, `ALTER TABLE offers RENAME TO away`)
	if status, code := register(b, "anna1", body); status != 503 || code != "overloaded" {
		t.Errorf("no answer of the database: got %d %q; want 503 overloaded", status, code)
	}
	if status, e, _ := a.do(t, request{method: "POST", target: "/api/v1/passkey/options", body: "{}", sign: "anna1"}); status != 503 || e.Code != "overloaded" {
		t.Errorf("no answer of the database: options: got %d %q; want 503 overloaded", status, e.Code)
	}
	s.server.Exec(t, s.database, `ALTER TABLE away RENAME TO offers`)
	check("nothing was right so far", "anna1", false)

	if status, code := register(b, "anna1", body); status != 201 || code != "" {
		t.Errorf("at the other node: got %d %q; want 201", status, code)
	}
	check("registered", "anna1", true)
	if status, code := register(a, "anna1", body); status != 401 || code != "bad_passkey" {
		t.Errorf("once more: got %d %q; want 401 bad_passkey", status, code)
	}
	check("not offered", "bob1", false)
}

// lostOffers cannot keep anything, and cannot say whether it does.
type lostOffers struct{}

var errLost = errors.New("no database")

func (lostOffers) KeepOffer(context.Context, string, []byte, time.Duration) (bool, error) {
	return true, errLost
}
func (lostOffers) TakeOffer(context.Context, string) ([]byte, error) {
	return []byte(`{}`), errLost
}

// TestPasskeyOffersLost: what is not sure to be kept offers and registers nothing.
func TestPasskeyOffersLost(t *testing.T) {
	p, d, _ := passkeysOf(t)
	p.Offers = lostOffers{}
	if c, err := p.offer(t.Context(), d); !errors.Is(err, errNotKept) || c != nil {
		t.Errorf("offer: got %v, %v; want errNotKept", c, err)
	}
	body := pushtest.NewAuthenticator(t, testRP, testOrigin).Register(device.Encode(nil))
	if _, err := p.register(t.Context(), d, body); !errors.Is(err, errNotKept) {
		t.Errorf("register: got %v; want errNotKept", err)
	}
}
