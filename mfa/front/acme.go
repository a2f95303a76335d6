package front

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
	"golang.org/x/time/rate"

	"github.com/radmatch/radmatch/mfa/text"
)

// When certificates are asked for. Let's Encrypt lets five validations of a name
// fail in an hour.
const (
	firstRetry = 2 * time.Minute // doubles
	maxRetry   = 6 * time.Hour
	watchEvery = 12 * time.Hour
	orderTime  = 5 * time.Minute
	quietTime  = time.Minute     // between two lines about the authority
	otherEvery = 2 * time.Second // for what another server orders
)

// ACME gets certificates from an authority (RFC 8555) and renews them in the
// background, by TLS-ALPN-01 (RFC 8737) in the handshake itself, and by HTTP-01
// where Challenges is served. Its exported fields are set before NewACME.
//
// Only Run asks the authority for a certificate that is not there yet: a
// unknown caller's handshakes must not use up the tries that it allows.
type ACME struct {
	Domains   []string // in lower case
	Email     string   // may be empty
	Directory string
	Folder    string            // of account keys and certificates; made with 0700 when there are some
	Shared    Certificates      // where servers of one site keep them, in place of Folder; nil: they do not
	Transport http.RoundTripper // to the authority; nil: the default one
	Logger    *zap.Logger       // nil: none

	manager    autocert.Manager
	place      string         // what is kept apart for each authority
	complaints rate.Sometimes // lines about the authority
	mu         sync.Mutex
	ready      map[string]bool
}

// NewACME returns a, ready for use. Anyone who calls it has accepted the terms of
// the authority.
func NewACME(a *ACME) *ACME {
	if a.Logger == nil {
		a.Logger = zap.NewNop()
	}
	if a.Transport == nil {
		a.Transport = http.DefaultTransport
	}
	a.ready = make(map[string]bool)
	a.complaints.Interval = quietTime
	a.manager.Prompt = autocert.AcceptTOS
	a.manager.Email = a.Email
	a.manager.HostPolicy = autocert.HostWhitelist(a.Domains...)
	// A test directory's certificates must not be served when the real one has its turn.
	_, place, _ := strings.Cut(a.Directory, "://")
	a.place = strings.Map(fileLetter, place)
	a.manager.Cache = autocert.DirCache(filepath.Join(a.Folder, a.place))
	if a.Shared != nil {
		a.manager.Cache = &sharedCache{certificates: a.Shared, prefix: a.place + "/"}
	}
	a.manager.Client = &acme.Client{
		DirectoryURL: a.Directory, UserAgent: "radmatch",
		HTTPClient: &http.Client{Transport: roundTripper(a.exchange), Timeout: time.Minute},
	}
	return a
}

func fileLetter(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
		return r
	}
	return '_'
}

// TLSConfig is for the listener that the authority looks at.
func (a *ACME) TLSConfig() *tls.Config {
	c := TLSConfig(a.certificate)
	c.NextProtos = append(c.NextProtos, acme.ALPNProto)
	return c
}

// Challenges answers HTTP-01 for the authority, and hands on everything else. It must be
// called before Run: that it is served is why HTTP-01 is tried.
func (a *ACME) Challenges(next http.Handler) http.Handler { return a.manager.HTTPHandler(next) }

// certificate answers a handshake with what is there.
func (a *ACME) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if name == "" {
		name = a.Domains[0] // by address: the device will say what is wrong
	}
	if !slices.Contains(a.Domains, name) {
		return nil, errors.New("no certificate for this name")
	}
	if slices.Equal(hello.SupportedProtos, []string{acme.ALPNProto}) {
		return a.manager.GetCertificate(hello)
	}
	a.mu.Lock()
	ready := a.ready[name]
	a.mu.Unlock()
	if !ready {
		return nil, errors.New("the certificate for this name has not come yet")
	}
	return a.manager.GetCertificate(plainHello(name))
}

// plainHello is a client of today, so that the manager asks for no second
// certificate, with RSA, for one of yesterday.
func plainHello(name string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName:       name,
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
		SupportedCurves:  []tls.CurveID{tls.CurveP256},
		CipherSuites:     []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	}
}

// Run gets the certificates that are missing and watches that they are renewed,
// until ctx ends. The listener of TLSConfig must be open by then.
func (a *ACME) Run(ctx context.Context) {
	retry := firstRetry
	for {
		wait := watchEvery
		switch turn, err := a.isTurn(ctx); {
		case err != nil || !turn:
			wait = a.otherOrders(err)
		case !a.obtain(ctx):
			wait = retry
			retry = min(2*retry, maxRetry)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// isTurn reports whether this server may ask for certificates: those that are there need no
// turn, and others are ordered by one server of a site at a time. Two orders at once would
// spoil each other's challenges.
func (a *ACME) isTurn(ctx context.Context) (bool, error) {
	if a.Shared == nil {
		return true, nil
	}
	for _, name := range a.Domains {
		data, err := a.manager.Cache.Get(ctx, name)
		if err != nil && !errors.Is(err, autocert.ErrCacheMiss) {
			return false, err
		}
		if !isValid(data, time.Now()) {
			return a.Shared.MayOrder(ctx, a.place)
		}
	}
	return true, nil
}

// isValid reports whether data, as the manager keeps it, has a certificate that is not over.
func isValid(data []byte, now time.Time) bool {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" { // its own comes first
			cert, err := x509.ParseCertificate(block.Bytes)
			return err == nil && now.Before(cert.NotAfter)
		}
	}
	return false
}

// otherOrders returns when to look again whether another server has got the certificates.
func (a *ACME) otherOrders(err error) time.Duration {
	if err != nil {
		a.complaints.Do(func() { a.Logger.Warn("web: cannot look for certificates", zap.Error(err)) })
	}
	return otherEvery
}

// obtain asks for every certificate, those in the folder first, and reports
// whether all are there.
func (a *ACME) obtain(ctx context.Context) bool {
	all := true
	for _, name := range a.Domains {
		cert, err := a.order(ctx, name)
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			all = false
			a.Logger.Error("web: no certificate from the authority", zap.String("name", name),
				zap.String("directory", a.Directory), zap.String("problem", text.Printable(err.Error(), 500)))
			continue
		}
		a.mu.Lock()
		known := a.ready[name]
		a.ready[name] = true
		a.mu.Unlock()
		left, life := time.Until(cert.Leaf.NotAfter), cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore)
		switch {
		case left < life/5: // it is renewed when a third is left
			a.Logger.Error("web: the certificate is not renewed", zap.String("name", name), zap.Time("expires", cert.Leaf.NotAfter))
		case !known:
			a.Logger.Info("web: certificate", zap.String("name", name), zap.Time("expires", cert.Leaf.NotAfter))
		}
	}
	return all
}

// order gets one certificate from the manager, which takes no context.
func (a *ACME) order(ctx context.Context, name string) (*tls.Certificate, error) {
	type result struct {
		cert *tls.Certificate
		err  error
	}
	done := make(chan result, 1)
	go func() {
		cert, err := a.manager.GetCertificate(plainHello(name))
		done <- result{cert, err}
	}()
	select {
	case r := <-done:
		return r.cert, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(orderTime + time.Minute): // it has a limit of its own
		return nil, context.DeadlineExceeded
	}
}

// roundTripper is a function as http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// maxACME is the most that is read of an answer of the authority, in octets.
const maxACME = 1 << 20

// exchange makes one request to the authority. The manager keeps to itself why a
// renewal failed, so that it is logged here.
func (a *ACME) exchange(r *http.Request) (*http.Response, error) {
	resp, err := a.Transport.RoundTrip(r)
	if err != nil {
		a.complain(err.Error())
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxACME))
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if text := refusal(resp.StatusCode, body); text != "" {
		a.complain(text)
	}
	return resp, nil
}

// complain logs what is wrong with the authority, or what it says is wrong with us.
func (a *ACME) complain(problem string) {
	a.complaints.Do(func() {
		a.Logger.Warn("web: the certificate authority says", zap.String("directory", a.Directory), zap.String("problem", text.Printable(problem, 500)))
	})
}

// refusal returns why an answer of the authority is a refusal, empty if it is
// none: a problem document (RFC 8555 §6.7), or an object that is invalid (§7.1.6).
func refusal(status int, body []byte) string {
	type problem struct{ Type, Detail string }
	var o struct {
		problem
		Status     any // a number in a problem document
		Error      *problem
		Challenges []struct{ Error *problem }
	}
	if json.Unmarshal(body, &o) != nil {
		if status >= 400 {
			return http.StatusText(status)
		}
		return ""
	}
	if status >= 400 {
		if strings.HasSuffix(o.Type, ":badNonce") { // tried again at once, §6.5
			return ""
		}
		return o.Type + ": " + o.Detail
	}
	if o.Status != "invalid" {
		return ""
	}
	for _, c := range o.Challenges {
		if c.Error != nil {
			return c.Error.Type + ": " + c.Error.Detail
		}
	}
	if o.Error != nil {
		return o.Error.Type + ": " + o.Error.Detail
	}
	return "invalid"
}
