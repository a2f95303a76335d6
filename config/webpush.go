package config

import (
	"net/mail"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/radmatch/radmatch/config/load"
)

// maxPushServices bounds web.push_services: each has a queue of its own.
const maxPushServices = 32

// serviceForm is HOST, *.DOMAIN or HOST:PORT, in one spelling a host.
var serviceForm = regexp.MustCompile(`^(\*\.[a-z0-9-]+(\.[a-z0-9-]+)+|[a-z0-9-]+(\.[a-z0-9-]+)*)(:\d{1,5})?$`)

// checkWebPush checks the keys of Web Push.
func (c *Config) checkWebPush(r *report) {
	const services, contact, ca = "web.push_services", "web.push_contact", "web.push_ca_file"
	if len(c.Web.PushServices) > maxPushServices && !r.Failed(services) {
		r.Add(services, strconv.Itoa(len(c.Web.PushServices)), "must be at most %d", maxPushServices)
	}
	seen := map[string]bool{}
	for i, s := range c.Web.PushServices {
		at := load.Index(services, i)
		switch {
		case r.Failed(at):
		case !isPushService(s):
			r.Add(at, load.Quote(s), "must be HOST, *.DOMAIN or HOST:PORT, in small letters")
		case seen[s]:
			r.Add(at, load.Quote(s), "must be there once")
		}
		seen[s] = true
	}
	if r.Set(contact) && !r.Failed(contact) && !isContact(c.Web.PushContact) {
		r.Add(contact, load.Quote(c.Web.PushContact), "must be mailto:NAME@HOST or https://HOST, where HOST is a full name such as example.org: Apple refuses others")
	}
	c.Web.PushCAFile = c.Resolve(c.Web.PushCAFile)
	if len(c.Web.PushServices) == 0 && !r.Failed(services) {
		for _, key := range []string{contact, ca} {
			if r.Set(key) {
				r.Add(key, "", "must not be there where web.push_services is empty: there is no Web Push")
			}
		}
	}
}

func isPushService(s string) bool {
	if !serviceForm.MatchString(s) || len(s) > 253 {
		return false
	}
	_, port, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	return !ok || err == nil && n > 0
}

// isContact reports whether s is what RFC 8292 §2.1 has as sub.
func isContact(s string) bool {
	if address, ok := strings.CutPrefix(s, "mailto:"); ok {
		a, err := mail.ParseAddress(address)
		return err == nil && a.Address == address && isFullName(address[strings.LastIndexByte(address, '@')+1:])
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.User == nil && isFullName(u.Hostname())
}

// isFullName reports whether host is the name of a host in a domain. Apple's service
// refuses a contact at localhost, at a bare name or at an address, and with it every push.
func isFullName(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	label, top := strings.LastIndexByte(host, '.'), ""
	if label > 0 {
		top = host[label+1:]
	}
	_, err := strconv.Atoi(top) // of an IPv4 address
	return top != "" && err != nil && top != "localhost" && top != "localdomain" && !strings.ContainsAny(host, ":[] ")
}

// PushContact is how push services learn whom to write to, empty for no address.
func (c *Config) PushContact() string {
	if c.Web.PushContact == "" && isContact(c.Web.PublicURL) {
		return c.Web.PublicURL
	}
	return c.Web.PushContact
}
