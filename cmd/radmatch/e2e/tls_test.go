package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/radius/wire"
)

// authority issues certificates in a test.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte // of cert
	last int64  // serial number
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, last: 1}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-240 * time.Hour), NotAfter: time.Now().Add(8760 * time.Hour)}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func (a *authority) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// issue signs a certificate for a key, for names and 127.0.0.1, until expires.
func (a *authority) issue(public any, expires time.Time, names ...string) []byte {
	a.t.Helper()
	a.last++
	template := &x509.Certificate{SerialNumber: big.NewInt(a.last), DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, NotBefore: time.Now().Add(-120 * time.Hour), NotAfter: expires}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// install puts a new certificate and its key in the place of cert.pem and key.pem
// of a folder, each at once.
func (a *authority) install(dir string, expires time.Time, names ...string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	replaceFile(a.t, filepath.Join(dir, "cert.pem"), a.issue(key.Public(), expires, names...))
	replaceFile(a.t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func replaceFile(t testing.TB, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// tlsSite is siteHead with TLS by files.
const tlsSite = `listen: {radius: ["127.0.0.1:0"], web: "127.0.0.1:0"}
web: {public_url: "https://mfa.example.org", tls: {cert_file: cert.pem, key_file: key.pem}}
data_dir: data
primaries: [{name: local, type: file, path: users.yaml}]
` + siteClient

// serial returns the number of the certificate that a new connection gets, and
// the protocol that is spoken over it. The name must be in it.
func serial(t testing.TB, addr, name string, roots *x509.CertPool) (number int64, protocol string, err error) {
	t.Helper()
	d := &tls.Dialer{NetDialer: &net.Dialer{Timeout: testTimeout}, Config: &tls.Config{ServerName: name, RootCAs: roots, NextProtos: []string{"h2", "http/1.1"}}}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return 0, "", err
	}
	defer c.Close()
	state := c.(*tls.Conn).ConnectionState()
	return state.PeerCertificates[0].SerialNumber.Int64(), state.NegotiatedProtocol, nil
}

// clientFor reaches the server under any name.
func clientFor(addr string, roots *x509.CertPool) *http.Client {
	return &http.Client{Timeout: 2 * testTimeout, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
	}}
}

// TestTLS: the pages over TLS, and a certificate that is replaced, by a good one
// and by broken ones, while a device is connected.
func TestTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	p := newServer(t, tlsSite)
	ca.install(p.dir, time.Now().Add(2160*time.Hour), "mfa.example.org")
	p.start()
	client := clientFor(p.web, ca.roots())
	link := strings.Fields(p.cli("device", "invite", "alice"))[0]
	if !strings.HasPrefix(link, "https://mfa.example.org/enroll#") {
		t.Fatalf("the link is %s; want \"https://mfa.example.org/enroll#\" first", link)
	}
	dev, err := device.Enroll(t.Context(), link, "pixel", device.MaxVersion, client)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ph := &testPhone{dev, p, make(chan device.Notice, 1000)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		dev.Watch(ctx, false, func(n device.Notice) error { ph.notices <- n; return nil })
	}()
	defer func() { cancel(); <-ended }()
	s := p.nasSocket("127.0.0.1")
	signIn := func() {
		t.Helper()
		r := s.start(signIn("alice", ""))
		ph.approve()
		s.gets(r, wire.AccessAccept)
	}
	signIn()
	is := func(want int64) {
		t.Helper()
		if got, protocol, err := serial(t, p.web, "mfa.example.org", ca.roots()); got != want || protocol != "http/1.1" || err != nil {
			t.Errorf("certificate %d by %s, %v, want %d", got, protocol, err, want)
		}
	}
	is(2)
	ca.install(p.dir, time.Now().Add(2160*time.Hour), "mfa.example.org")
	p.until("the new certificate", func() bool {
		n, _, err := serial(t, p.web, "mfa.example.org", ca.roots())
		return n == 3 && err == nil
	})
	signIn() // over the old connection
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	renewed := ca.issue(other.Public(), time.Now().Add(2160*time.Hour), "mfa.example.org") // number 4; its key has not come yet
	for _, broken := range []string{"", "-----BEGIN CERTIFICATE-----\nnonsense", string(renewed)} {
		complaints, reloads := strings.Count(p.log(), "the old one stays"), strings.Count(p.log(), "reloaded")
		replaceFile(t, p.path("cert.pem"), []byte(broken))
		p.signal(syscall.SIGHUP)
		p.until("a complaint and a reload", func() bool {
			log := p.log()
			return strings.Count(log, "the old one stays") > complaints && strings.Count(log, "reloaded") > reloads
		})
		is(3)
	}
	p.await("server.log", "private key does not match")
	ca.install(p.dir, time.Now().Add(2160*time.Hour), "mfa.example.org")
	p.signal(syscall.SIGHUP)
	p.until("the certificate after SIGHUP", func() bool {
		n, _, err := serial(t, p.web, "mfa.example.org", ca.roots())
		return n == 5 && err == nil
	})
	signIn()
	if _, err := tls.Dial("tcp", p.web, &tls.Config{ServerName: "mfa.example.org", RootCAs: ca.roots(), MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken: got no error; want one")
	}
	resp, err := http.Get("http://" + p.web + "/healthz")
	if err == nil {
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 400 || bytes.Contains(text, []byte("ok")) {
			t.Errorf("plain HTTP: %d %s", resp.StatusCode, text)
		}
	}
	p.stop()
}

// TestPageTLS: the page over TLS, in a real browser that takes this certificate.
func TestPageTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	port := freePort(t)
	p := newServer(t, strings.NewReplacer(`web: "127.0.0.1:0"`, `web: "127.0.0.1:`+port+`"`, "https://mfa.example.org", "https://localhost:"+port).Replace(tlsSite))
	ca.install(p.dir, time.Now().Add(2160*time.Hour), "localhost")
	p.start()
	pair, err := tls.LoadX509KeyPair(p.path("cert.pem"), p.path("key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pin := sha256.Sum256(pair.Leaf.RawSubjectPublicKeyInfo)
	page := startBrowser(t, "--ignore-certificate-errors-spki-list="+base64.StdEncoding.EncodeToString(pin[:])).open(t, onPhone)
	page.authenticator()
	page.visit(strings.Fields(p.cli("device", "invite", "alice"))[0])
	page.click("Add this device")
	page.sees("Connected")
	page.click("Set up")
	page.until("!document.getElementById('setup').innerText.includes('fingerprint')")
	answer := p.login("127.0.0.1", alice)
	page.click("Approve")
	gets(t, answer, "Access-Accept")
	page.until("navigator.serviceWorker.ready.then((r) => r.active.state === 'activated')")
}

// TestTLSDoesNotStart: without its certificate the server does not start, and
// check says so; with one that has expired it does, for those with passcodes.
func TestTLSDoesNotStart(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	p := newServer(t, tlsSite)
	for _, command := range []string{"serve", "check"} {
		if out, code := p.output(command); code != console.ExitConfig || !strings.Contains(out, "radmatch.yaml:2: web.tls.cert_file: ") || !strings.Contains(out, "no such file") {
			t.Errorf("%s: exit %d\n%s; want console.ExitConfig, \"radmatch.yaml:2: web.tls.cert_file: \" in it, \"no such file\" in it", command, code, out)
		}
	}
	ca.install(p.dir, time.Now().Add(-time.Hour), "mfa.example.org")
	p.start()
	p.await("server.log", "certificate has expired")
	if _, _, err := serial(t, p.web, "mfa.example.org", ca.roots()); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("got %v", err)
	}
	p.stop()
}

// TestCheckCertificate: what check says of a certificate that devices will not take.
func TestCheckCertificate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for _, tt := range []struct {
		name    string
		expires time.Duration
		host    string
		want    string
	}{
		{"expired", -time.Hour, "mfa.example.org", "has expired"},
		{"soon", 73 * time.Hour, "mfa.example.org", "expires in 3 days"},
		{"host", 2160 * time.Hour, "vpn.example.org", "is not for mfa.example.org, the host of web.public_url, but for vpn.example.org"},
		{"root", 2160 * time.Hour, "mfa.example.org", "knows no authority that stands behind"},
	} {
		p := newServer(t, tlsSite)
		ca.install(p.dir, time.Now().Add(tt.expires), tt.host)
		if err := os.Chmod(p.path("key.pem"), 0o644); err != nil {
			t.Fatal(err)
		}
		out, code := p.output("check")
		if code != console.ExitOK || !strings.Contains(out, "radmatch.yaml:2: web.tls.cert_file: warning: ") || !strings.Contains(out, tt.want) {
			t.Errorf("%s: exit %d\n%s", tt.name, code, out)
		}
		if !strings.Contains(out, "everyone on this machine can read the key") {
			t.Errorf("%s: not a word about the key\n%s; want \"everyone on this machine can read the key\" in it", tt.name, out)
		}
	}
}

// TestCheckPublic: what check --connect says when it fetches web.public_url.
func TestCheckPublic(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	dir := t.TempDir()
	root := filepath.Join(dir, "root.pem")
	if err := os.WriteFile(root, ca.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	serve := func(handler http.HandlerFunc, expires time.Duration) string {
		folder := t.TempDir()
		ca.install(folder, time.Now().Add(expires), "mfa.example.org")
		pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem"))
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewUnstartedServer(handler)
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		srv.StartTLS()
		t.Cleanup(srv.Close)
		return srv.URL
	}
	answer := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/healthz" {
				w.WriteHeader(code)
				io.WriteString(w, text)
			}
		}
	}
	plain := httptest.NewServer(answer(200, "ok\n"))
	t.Cleanup(plain.Close)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := free.Addr().String()
	free.Close()
	good := serve(answer(200, "ok\n"), 2160*time.Hour)
	for _, tt := range []struct{ name, url, roots, want string }{
		{"good", good, root, "answers, certificate until "},
		{"root", good, "", "does not know the authority"},
		{"host", strings.Replace(good, "127.0.0.1", "localhost", 1), root, "is not for localhost but for mfa.example.org, 127.0.0.1"},
		{"soon", serve(answer(200, "ok\n"), 24*time.Hour), root, "answers; warning: its certificate expires"},
		{"expired", serve(answer(200, "ok\n"), -time.Hour), root, "has expired"},
		{"proxy", serve(answer(502, "bad gateway"), 2160*time.Hour), root, "something else than radmatch answers: 502 Bad Gateway"},
		{"another", serve(answer(200, "hello"), 2160*time.Hour), root, "something else than radmatch answers: 200"},
		{"redirect", serve(http.RedirectHandler("https://www.example.org/", http.StatusFound).ServeHTTP, 2160*time.Hour), root, "it sends devices on to https://www.example.org/"},
		{"no tls", "https" + strings.TrimPrefix(plain.URL, "http"), root, "there is no TLS at that port"},
		{"refused", "https://" + closed, root, "nothing listens there"},
	} {
		p := newServer(t, strings.Replace(tlsSite, "https://mfa.example.org", tt.url, 1))
		ca.install(p.dir, time.Now().Add(2160*time.Hour), "mfa.example.org")
		cmd := p.command(nil, "check", "--connect")
		cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+tt.roots, "SSL_CERT_DIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "web "+tt.url+": ") || !strings.Contains(string(out), tt.want) {
			t.Errorf("%s: no %q, %v\n%s", tt.name, tt.want, err, out)
		}
		if hinted := strings.Contains(string(out), "devices will not get through"); hinted != !strings.Contains(tt.want, "answers, ") && !strings.Contains(tt.want, "answers; ") {
			t.Errorf("%s: warning %v\n%s", tt.name, hinted, out)
		}
	}
	p := newServer(t, siteHead+siteClient)
	if out, code := p.output("check", "--connect"); code != console.ExitOK || !strings.Contains(out, "phones: note: http://127.0.0.1:0 is HTTP") {
		t.Errorf("exit %d\n%s; want console.ExitOK, \"phones: note: http://127.0.0.1:0 is HTTP\" in it", code, out)
	}
}
