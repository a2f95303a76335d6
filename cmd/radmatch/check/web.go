package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/front"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/mfa/textfile"
	"github.com/radmatch/radmatch/mfa/web"
)

// checkWeb says why a phone cannot reach the pages, as far as files tell.
func (k *checker) checkWeb(cfg *config.Config) error {
	t := cfg.Web.TLS
	if t.ACME.CAFile != "" {
		if _, err := textfile.Roots(t.ACME.CAFile); err != nil {
			k.find(foundError, cfg.Where("web.tls.acme.ca_file"), err.Error(), "")
			return &console.ExitError{Code: console.ExitConfig}
		}
	}
	if u, err := url.Parse(cfg.PublicURL()); err == nil && u.Scheme == "http" && len(cfg.Push) > 0 {
		k.find(foundNote, "phones", cfg.PublicURL()+" is HTTP: a phone's browser has no keys (WebCrypto), no service worker and no Web Push there. "+
			"Only a browser on this machine, at localhost, and radmatch phone can be enrolled", `docs/tls.md`)
	}
	if !t.Files() {
		return nil
	}
	pair, err := front.ReadKeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		k.find(foundError, cfg.Where("web.tls.cert_file"), err.Error(), "")
		return &console.ExitError{Code: console.ExitConfig}
	}
	for _, problem := range front.CertificateProblems(pair, publicHost(cfg), time.Now()) {
		k.find(foundWarning, cfg.Where("web.tls.cert_file"), problem, "")
	}
	if info, err := os.Stat(t.KeyFile); err == nil && info.Mode().Perm()&0o004 != 0 {
		k.find(foundWarning, cfg.Where("web.tls.key_file"), "everyone on this machine can read the key: chmod 640 "+t.KeyFile, "")
	}
	return nil
}

func publicHost(cfg *config.Config) string {
	u, err := url.Parse(cfg.PublicURL())
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// fetchTime is how long web.public_url may take.
const fetchTime = 10 * time.Second

// checkPublic fetches web.public_url as a device would and says what is wrong.
// It is advice: the server may not run yet, and a phone sees another network.
func (k *checker) checkPublic(ctx context.Context, cfg *config.Config) {
	if cfg.Web.PublicURL == "" || len(cfg.Push) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	state, err := fetchHealth(ctx, cfg.Web.PublicURL)
	if err == nil {
		k.find(foundOK, "web "+cfg.Web.PublicURL, state, "")
		return
	}
	what, hint := explainFetch(err, cfg)
	k.find(foundWarning, "web "+cfg.Web.PublicURL, "devices will not get through, as seen from here: "+what, hint)
}

// statusError is an answer that is not radmatch's.
type statusError struct {
	code     int
	location string
}

func (e *statusError) Error() string {
	if e.location != "" {
		return fmt.Sprintf("it sends devices on to %s", text.Printable(e.location, 200))
	}
	return fmt.Sprintf("something else than radmatch answers: %d %s", e.code, http.StatusText(e.code))
}

// fetchHealth gets /healthz without a proxy, and follows no redirect, as devices do.
func fetchHealth(ctx context.Context, public string) (state string, err error) {
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, public+"/healthz", nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK || string(body) != web.Healthy {
		return "", &statusError{resp.StatusCode, resp.Header.Get("Location")}
	}
	if resp.TLS == nil {
		return "answers", nil
	}
	end := resp.TLS.PeerCertificates[0].NotAfter
	if time.Until(end) < front.SoonTime {
		return fmt.Sprintf("answers; warning: its certificate expires %s", end.Format(time.DateOnly)), nil
	}
	return fmt.Sprintf("answers, certificate until %s", end.Format(time.DateOnly)), nil
}

// explainFetch says in plain words which step failed, and what to look at.
func explainFetch(err error, cfg *config.Config) (what, hint string) {
	host := publicHost(cfg)
	var (
		status  *statusError
		name    *net.DNSError
		wrong   x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		plain   tls.RecordHeaderError
		alert   tls.AlertError
		timeout net.Error
	)
	behind := "the reverse proxy must hand requests on to listen.web, " + cfg.Listen.Web
	if cfg.Web.TLS.On() {
		behind = "port 443 of " + host + " must be forwarded to listen.web, " + cfg.Listen.Web
	}
	switch {
	case errors.As(err, &status) && status.location != "":
		return status.Error(), "devices follow no redirect: set web.public_url to where it ends, or let the proxy hand the request on"
	case errors.As(err, &status):
		return status.Error(), behind
	case errors.As(err, &name):
		return "the name " + host + " does not resolve", "add an A or AAAA record for it, or correct web.public_url"
	case errors.As(err, &wrong):
		return "the certificate there is not for " + host + " but for " + front.CertificateNames(wrong.Certificate), "get one for the host of web.public_url"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate there has expired or is not valid yet", "renew it; is the clock of this machine right?"
	case errors.As(err, &unknown):
		return "this machine does not know the authority behind the certificate there",
			"send the certificates between it and the root too, or install the root on every device"
	case errors.As(err, &plain), errors.Is(err, http.ErrSchemeMismatch):
		return "there is no TLS at that port", behind
	case errors.As(err, &alert):
		return "the server there refuses TLS for this name", "with web.tls.acme the certificate may not have come yet: the log says why"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there", "start the server; " + behind
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("no answer in %s", fetchTime), "does a firewall drop it? " + behind
	}
	return text.Printable(err.Error(), 300), behind
}
