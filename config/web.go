package config

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/radmatch/radmatch/config/load"
)

// domainForm is a name that a public authority issues for: two labels at least,
// letters in lower case, a name of another script in its ASCII form.
var domainForm = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// maxDomains bounds how many certificates are asked for: an authority has limits.
const maxDomains = 20

func (c *Config) checkWeb(r *report) {
	text := strings.TrimSuffix(c.Web.PublicURL, "/")
	if r.Set("web.public_url") {
		u, err := url.Parse(text)
		if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" || text != u.Scheme+"://"+u.Host {
			r.Add("web.public_url", "", "must be https://HOST or https://HOST:PORT")
			return
		}
	}
	c.Web.PublicURL = text
	c.checkTLS(r)
	c.checkPlain(r)
	if r.Failed("web", "listen.web") || len(c.Push) == 0 {
		return
	}
	if _, _, err := c.RelyingParty(); err != nil && c.Web.Passkeys == "required" {
		r.Add("web.passkeys", load.Quote(c.Web.Passkeys), "must be preferred or off: %v", err)
	}
	u, err := url.Parse(c.PublicURL())
	switch {
	case err != nil:
	case isLoopback(u.Hostname()):
		r.Warn("web.public_url", "phones cannot reach %s; set it to the https:// address of a reverse proxy", c.PublicURL())
	case u.Scheme != "https":
		r.Warn("web.public_url", "is not https: invitations and prompts can be read on the way, and a phone's browser has no keys, "+
			"no service worker and no Web Push there, so that the page does not work")
	}
}

// checkTLS checks where the certificate comes from: files or ACME.
func (c *Config) checkTLS(r *report) {
	t := &c.Web.TLS
	files, acme := t.Files(), false
	for _, key := range []string{"domains", "email", "directory", "ca_file", "accept_terms", "http_listen"} {
		acme = acme || r.Set("web.tls.acme."+key)
	}
	switch {
	case r.Failed("web.tls"):
	case files && acme:
		r.Add("web.tls.acme", "", "must not stand beside cert_file and key_file")
	case files && t.KeyFile == "":
		r.Add("web.tls.key_file", "", "must be there: cert_file is nothing without its key")
	case files && t.CertFile == "":
		r.Add("web.tls.cert_file", "", "must be there: key_file is nothing without its certificate")
	case acme:
		c.checkACME(r)
	}
	if t.On() && strings.HasPrefix(c.Web.PublicURL, "http:") {
		r.Add("web.public_url", "", "must be https://…: with web.tls listen.web speaks nothing else")
	}
	t.CertFile, t.KeyFile, t.ACME.CAFile = c.Resolve(t.CertFile), c.Resolve(t.KeyFile), c.Resolve(t.ACME.CAFile)
}

func (c *Config) checkACME(r *report) {
	const key = "web.tls.acme."
	a := &c.Web.TLS.ACME
	if n := len(a.Domains); n == 0 || n > maxDomains {
		r.Add(key+"domains", "", "must be from 1 to %d names", maxDomains)
	}
	seen := map[string]bool{}
	for i, d := range a.Domains {
		switch at := load.Index(key+"domains", i); {
		case !domainForm.MatchString(d) || len(d) > 253 || net.ParseIP(d) != nil:
			r.Add(at, load.Quote(d), "must be a name such as mfa.example.org, in lower case")
		case seen[d]:
			r.Add(at, load.Quote(d), "must be there once")
		}
		seen[d] = true
	}
	if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		r.Add(key+"directory", "", "must be https://…")
	}
	if local, domain, ok := strings.Cut(a.Email, "@"); r.Set(key+"email") && (!ok || local == "" || domain == "" || strings.ContainsAny(a.Email, " \r\n,")) {
		r.Add(key+"email", load.Quote(a.Email), "must be one address, such as admin@example.org")
	}
	if !a.AcceptTerms {
		r.Add(key+"accept_terms", "", "must be true: read the terms of service of the authority and agree to them")
	}
	if a.HTTPListen != "" && !IsListen(a.HTTPListen) {
		r.Add(key+"http_listen", load.Quote(a.HTTPListen), "must be IP:PORT, such as 0.0.0.0:80")
	}
	if u, err := url.Parse(c.Web.PublicURL); err == nil && u.Hostname() != "" && !seen[strings.ToLower(u.Hostname())] {
		r.Warn("web.public_url", "%s is not one of web.tls.acme.domains: devices will not trust the certificate there", u.Hostname())
	}
}

// checkPlain keeps plain HTTP on this machine. What devices send is signed, but
// an invitation is worth an account to who reads it.
func (c *Config) checkPlain(r *report) {
	t := c.Web.TLS
	switch {
	case r.Failed("web", "listen.web") || !IsListen(c.Listen.Web):
	case t.On() && c.Web.InsecureHTTP:
		r.Add("web.insecure_http", "true", "must not stand beside web.tls: listen.web speaks only TLS")
	case t.On() || isLoopbackListen(c.Listen.Web):
	case c.Web.InsecureHTTP:
		r.Warn("web.insecure_http", "who listens between the reverse proxy and %s reads invitations and prompts", c.Listen.Web)
	default:
		r.Add("listen.web", load.Quote(c.Listen.Web), "must be an address that only this machine reaches, such as 127.0.0.1:8080, or web.tls must be there "+
			"(cert_file and key_file, or acme); for a reverse proxy on another machine set web.insecure_http: true")
	}
}

// isLoopbackListen reports whether an address of listen is reached only from this machine.
func isLoopbackListen(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && isLoopback(host)
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
