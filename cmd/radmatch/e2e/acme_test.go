package e2e

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
)

// acmeServer is as much of RFC 8555 as it takes to issue certificates for a name,
// one after the other, after it has looked for the challenge at the address in target. It does not
// check signatures: the account's key is known from the first one.
type acmeServer struct {
	*httptest.Server
	ca        *authority
	challenge string                // its type
	refuse    func(order int) error // what validation comes to, if not nil
	lives     []time.Duration       // how long the first certificates are good from now on; later ones 90 days
	target    chan string           // holds the address to look at, once that is known

	mu         sync.Mutex
	thumbprint string // of the account's key, RFC 7638
	name       string // that is ordered
	authz      string // its status
	problem    error  // why it is invalid
	cert       []byte
	orders     int
}

const acmeToken = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"

func newACMEServer(t *testing.T, challenge string) *acmeServer {
	a := &acmeServer{ca: newAuthority(t), challenge: challenge, target: make(chan string, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("/directory", func(w http.ResponseWriter, _ *http.Request) {
		a.answer(w, 200, map[string]any{"newNonce": a.URL + "/nonce", "newAccount": a.URL + "/account", "newOrder": a.URL + "/order",
			"meta": map[string]any{"termsOfService": a.URL + "/terms"}})
	})
	mux.HandleFunc("/nonce", func(w http.ResponseWriter, _ *http.Request) { a.answer(w, 200, nil) })
	mux.HandleFunc("POST /account", a.account)
	mux.HandleFunc("POST /order", a.order)
	mux.HandleFunc("POST /order/1", func(w http.ResponseWriter, _ *http.Request) { a.answer(w, 200, a.orderObject()) })
	mux.HandleFunc("POST /authz/1", func(w http.ResponseWriter, _ *http.Request) { a.answer(w, 200, a.authzObject()) })
	mux.HandleFunc("POST /challenge/1", a.validate)
	mux.HandleFunc("POST /finalize/1", a.finalize)
	mux.HandleFunc("POST /cert/1", func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		w.Write(a.cert)
	})
	a.Server = httptest.NewTLSServer(mux)
	t.Cleanup(a.Close)
	return a
}

// answer writes an object, and a nonce as every answer has one.
func (a *acmeServer) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Replay-Nonce", fmt.Sprintf("nonce-%d", time.Now().UnixNano()))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if v != nil {
		json.NewEncoder(w).Encode(v)
	}
}

// payload reads a signed request (RFC 8555 §6.2).
func (a *acmeServer) payload(r *http.Request, header, payload any) {
	var jws struct{ Protected, Payload string }
	if err := json.NewDecoder(r.Body).Decode(&jws); err != nil {
		a.ca.t.Error(err)
	}
	for text, v := range map[string]any{jws.Protected: header, jws.Payload: payload} {
		b, err := base64.RawURLEncoding.DecodeString(text)
		if v != nil && (err != nil || json.Unmarshal(b, v) != nil) {
			a.ca.t.Errorf("%s: %q", r.URL.Path, b)
		}
	}
}

func (a *acmeServer) account(w http.ResponseWriter, r *http.Request) {
	var header struct {
		JWK struct{ Crv, Kty, X, Y string }
	}
	var account struct {
		TermsOfServiceAgreed bool
		Contact              []string
	}
	a.payload(r, &header, &account)
	if !account.TermsOfServiceAgreed || len(account.Contact) != 1 || account.Contact[0] != "mailto:admin@example.org" {
		a.ca.t.Errorf("got account %+v; want TermsOfServiceAgreed true, 1 Contact, Contact[0] \"mailto:admin@example.org\"", account)
	}
	k := header.JWK
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":%q,"kty":%q,"x":%q,"y":%q}`, k.Crv, k.Kty, k.X, k.Y))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.thumbprint = base64.RawURLEncoding.EncodeToString(sum[:])
	w.Header().Set("Location", a.URL+"/account/1")
	a.answer(w, 201, map[string]any{"status": "valid"})
}

func (a *acmeServer) order(w http.ResponseWriter, r *http.Request) {
	var order struct {
		Identifiers []struct{ Type, Value string }
	}
	a.payload(r, nil, &order)
	a.mu.Lock()
	a.orders++
	a.name, a.authz, a.problem, a.cert = order.Identifiers[0].Value, "pending", nil, nil
	a.mu.Unlock()
	w.Header().Set("Location", a.URL+"/order/1")
	a.answer(w, 201, a.orderObject())
}

func (a *acmeServer) orderObject() any {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := map[string]any{"status": "pending", "identifiers": []any{map[string]any{"type": "dns", "value": a.name}},
		"authorizations": []string{a.URL + "/authz/1"}, "finalize": a.URL + "/finalize/1"}
	switch {
	case a.cert != nil:
		o["status"], o["certificate"] = "valid", a.URL+"/cert/1"
	case a.authz == "valid":
		o["status"] = "ready"
	case a.authz == "invalid":
		o["status"] = "invalid"
	}
	return o
}

func (a *acmeServer) authzObject() any {
	a.mu.Lock()
	defer a.mu.Unlock()
	return map[string]any{"status": a.authz, "identifier": map[string]any{"type": "dns", "value": a.name}, "challenges": []any{a.challengeObject()}}
}

// challengeObject is called with the lock held.
func (a *acmeServer) challengeObject() any {
	o := map[string]any{"type": a.challenge, "url": a.URL + "/challenge/1", "token": acmeToken, "status": a.authz}
	if a.problem != nil {
		o["error"] = map[string]any{"type": "urn:ietf:params:acme:error:dns", "detail": a.problem.Error()}
	}
	return o
}

// validate looks for the challenge where the name leads to.
func (a *acmeServer) validate(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	order, authorization := a.orders, acmeToken+"."+a.thumbprint
	a.mu.Unlock()
	var problem error
	if a.refuse != nil {
		problem = a.refuse(order)
	}
	if problem == nil {
		addr := <-a.target
		a.target <- addr
		look := a.lookTLS
		if a.challenge == "http-01" {
			look = a.lookHTTP
		}
		if problem = look(addr, authorization); problem != nil {
			a.ca.t.Errorf("%s: %v", a.challenge, problem)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.authz, a.problem = "valid", problem
	if problem != nil {
		a.authz = "invalid"
	}
	a.answer(w, 200, a.challengeObject())
}

// lookTLS is RFC 8737 §3.
func (a *acmeServer) lookTLS(addr, keyAuthorization string) error {
	c, err := tls.Dial("tcp", addr, &tls.Config{ServerName: a.name, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true})
	if err != nil {
		return err
	}
	defer c.Close()
	state := c.ConnectionState()
	leaf := state.PeerCertificates[0]
	if state.NegotiatedProtocol != "acme-tls/1" || len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != a.name {
		return fmt.Errorf("%q for %v", state.NegotiatedProtocol, leaf.DNSNames)
	}
	want := sha256.Sum256([]byte(keyAuthorization))
	for _, e := range leaf.Extensions {
		var got []byte
		if e.Id.String() == "1.3.6.1.5.5.7.1.31" && e.Critical {
			if _, err := asn1.Unmarshal(e.Value, &got); err == nil && bytes.Equal(got, want[:]) {
				return nil
			}
		}
	}
	return errors.New("the certificate of the challenge is not the right one")
}

// lookHTTP is RFC 8555 §8.3.
func (a *acmeServer) lookHTTP(addr, keyAuthorization string) error {
	req, err := http.NewRequest("GET", "http://"+addr+"/.well-known/acme-challenge/"+acmeToken, nil)
	if err != nil {
		return err
	}
	req.Host = a.name
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && strings.TrimSpace(string(text)) != keyAuthorization {
		err = fmt.Errorf("%s: %q", resp.Status, text)
	}
	return err
}

func (a *acmeServer) finalize(w http.ResponseWriter, r *http.Request) {
	var req struct{ CSR string }
	a.payload(r, nil, &req)
	der, err := base64.RawURLEncoding.DecodeString(req.CSR)
	if err != nil {
		a.ca.t.Error(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil || csr.CheckSignature() != nil {
		a.ca.t.Errorf("request: got %v; want no error, no CheckSignature", err)
		return
	}
	a.mu.Lock()
	life := 2160 * time.Hour
	if len(a.lives) > 0 {
		life, a.lives = a.lives[0], a.lives[1:]
	}
	a.cert = append(a.ca.issue(csr.PublicKey, time.Now().Add(life), csr.DNSNames...), a.ca.pem...)
	a.mu.Unlock()
	w.Header().Set("Location", a.URL+"/order/1")
	a.answer(w, 200, a.orderObject())
}

// site is a server whose certificates come from a.
func (a *acmeServer) site(t *testing.T, more string) *serverProcess {
	p := newServer(t, fmt.Sprintf(`listen: {radius: ["127.0.0.1:0"], web: "127.0.0.1:0"}
web:
  public_url: https://mfa.example.org
  tls: {acme: {domains: [mfa.example.org], email: admin@example.org, directory: "%s/directory", ca_file: acme.pem, accept_terms: true%s}}
data_dir: data
primaries: [{name: local, type: file, path: users.yaml}]
`, a.URL, more)+siteClient)
	p.write("acme.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw})))
	return p
}

// TestACME: the certificate comes by either challenge, is served, and is kept for
// the next start.
func TestACME(t *testing.T) {
	t.Parallel()
	for challenge, more := range map[string]string{"tls-alpn-01": "", "http-01": `, http_listen: "127.0.0.1:0"`} {
		t.Run(challenge, func(t *testing.T) {
			t.Parallel()
			a := newACMEServer(t, challenge)
			p := a.site(t, more)
			p.start()
			if _, _, err := serial(t, p.web, "mfa.example.org", a.ca.roots()); err == nil {
				t.Error("a certificate before there is one: got no error; want one")
			}
			plain := ""
			if challenge == "http-01" {
				_, plain, _ = strings.Cut(strings.TrimSpace(p.await("ready", "(?m)^acme .*$")), "acme ")
				plain, _, _ = strings.Cut(plain, "\n")
				a.target <- plain
			} else {
				a.target <- p.web
			}
			arrived := func() bool {
				_, protocol, err := serial(t, p.web, "mfa.example.org", a.ca.roots())
				return err == nil && protocol == "http/1.1"
			}
			p.until("the certificate", arrived)
			resp, err := clientFor(p.web, a.ca.roots()).Get("https://mfa.example.org/healthz")
			if err != nil || resp.StatusCode != 200 {
				t.Errorf("got %v, %v", resp, err)
			}
			if _, _, err := serial(t, p.web, "evil.example.org", a.ca.roots()); err == nil {
				t.Error("a certificate for a name of others: got no error; want one")
			}
			// A caller without ECDSA gets no certificate of its own ordered.
			if _, err := tls.Dial("tcp", p.web, &tls.Config{ServerName: "mfa.example.org", RootCAs: a.ca.roots(), MaxVersion: tls.VersionTLS12,
				CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}); err == nil {
				t.Error("got a handshake with RSA that succeeded; want an error")
			}
			if plain != "" {
				checkRedirect(t, "http://"+plain+"/enroll?x", "https://mfa.example.org")
			}
			p.stop()
			if info, err := os.Stat(p.path("data/acme")); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("the folder: got %v, %v; want no error, mode 0o700", info, err)
			}
			p.start()
			p.until("the certificate again", arrived)
			if a.orders != 1 {
				t.Errorf("got %d orders; want 1", a.orders)
			}
			p.stop()
		})
	}
}

// TestACMENodes: one of two nodes orders, and the authority asks the other one for the challenge.
// Both serve the certificate, also after a new sealing key.
func TestACMENodes(t *testing.T) {
	t.Parallel()
	pg := postgrestest.Start(t, "fsync = off")
	for challenge, more := range map[string]string{"tls-alpn-01": "", "http-01": `, http_listen: "127.0.0.1:0"`} {
		t.Run(challenge, func(t *testing.T) {
			a := newACMEServer(t, challenge)
			nodes := a.nodes(t, pg, more)
			other := nodes[1].web
			if challenge == "http-01" {
				_, other, _ = strings.Cut(strings.TrimSpace(nodes[1].await("ready", "(?m)^acme .*$")), "acme ")
				other, _, _ = strings.Cut(other, "\n")
			}
			a.target <- other
			served := func() {
				t.Helper()
				for _, p := range nodes {
					p.until("the certificate", func() bool {
						number, _, err := serial(t, p.web, "mfa.example.org", a.ca.roots())
						return err == nil && number == 2
					})
				}
			}
			served()
			nodes[0].cli("rekey", "--prepare")
			for _, p := range nodes {
				p.cli("reload")
			}
			nodes[0].cli("rekey")
			for _, p := range nodes {
				p.stop()
				p.start()
				if _, err := os.Stat(p.path("data/acme")); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("a folder of certificates: got %v; want none", err)
				}
			}
			served()
			if n := a.ordered(); n != 1 {
				t.Errorf("got %d orders; want 1", n)
			}
		})
	}
}

// nodes are two that share a database. The first one has ordered when the second starts.
func (a *acmeServer) nodes(t *testing.T, pg *postgrestest.Server, more string) (nodes []*serverProcess) {
	url, keys := pg.URL(pg.NewDatabase(t)), t.TempDir()+"/seal.key"
	for _, name := range []string{"vpn-a", "vpn-b"} {
		p := a.site(t, more)
		config, err := os.ReadFile(p.path("radmatch.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		p.write("radmatch.yaml", string(config)+fmt.Sprintf("store: {type: postgres, url: %q, standby: none}\nseal: {key_file: %s}\nnode: %s\n", url, keys, name))
		p.start()
		p.until("an order", func() bool { return a.ordered() == 1 })
		nodes = append(nodes, p)
	}
	return nodes
}

func (a *acmeServer) ordered() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.orders
}

func checkRedirect(t *testing.T, from, to string) {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(httptest.NewRequest("GET", from, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 302 || resp.Header.Get("Location") != to {
		t.Errorf("%s: %s to %q", from, resp.Status, resp.Header.Get("Location"))
	}
}

// TestACMERenewal: a certificate that is due is renewed while the server runs.
// Where the authority refuses, the old one stays, the log says so, and the next
// start tries again.
func TestACMERenewal(t *testing.T) {
	t.Parallel()
	a := newACMEServer(t, "tls-alpn-01")
	a.lives = []time.Duration{time.Hour} // of the five days that it is good for: it is due at once
	var refuses atomic.Bool
	refuses.Store(true)
	a.refuse = func(order int) error {
		if order > 1 && refuses.Load() {
			return errors.New("no valid A records found")
		}
		return nil
	}
	p := a.site(t, "")
	p.start()
	a.target <- p.web
	serves := func() (number int64) {
		number, _, _ = serial(t, p.web, "mfa.example.org", a.ca.roots())
		return number
	}
	p.await("server.log", "the certificate authority says.*no valid A records found")
	p.await("server.log", "the certificate is not renewed")
	if got := serves(); got != 2 {
		t.Errorf("without a new one, certificate %d is served, want 2", got)
	}
	p.stop()
	<-a.target
	refuses.Store(false)
	p.start()
	p.until("the old certificate from the folder", func() bool { return serves() == 2 })
	a.target <- p.web // where the authority looks from now on
	p.until("the new certificate", func() bool { return serves() == 3 })
	p.stop()
	p.start()
	p.until("the new certificate from the folder", func() bool { return serves() == 3 })
	p.stop()
	if a.ca.last != 3 {
		t.Errorf("%d certificates were issued, want 2", a.ca.last-1)
	}
}

// TestACMERefused: the log says what the authority says; unknown callers' handshakes
// order nothing.
func TestACMERefused(t *testing.T) {
	t.Parallel()
	a := newACMEServer(t, "tls-alpn-01")
	a.refuse = func(int) error { return errors.New("no valid A records found") }
	p := a.site(t, "")
	p.start()
	p.await("server.log", "the certificate authority says.*no valid A records found")
	p.await("server.log", "no certificate from the authority")
	before := a.ordered()
	for range 20 {
		if c, err := net.Dial("tcp", p.web); err == nil {
			tls.Client(c, &tls.Config{ServerName: "mfa.example.org", InsecureSkipVerify: true}).Handshake()
			c.Close()
		}
	}
	if now := a.ordered(); now != before || before == 0 {
		t.Errorf("%d orders, then %d", before, now)
	}
	if code, out, errs := p.run("check"); code != console.ExitOK {
		t.Errorf("exit %d\n%s%s; want console.ExitOK", code, out, errs)
	}
	p.stop()
}
