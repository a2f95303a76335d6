package serve

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/radmatch/radmatch/config"
)

// ListenKey is one address of the configuration, with its key.
type ListenKey struct{ Key, Network, Address string }

func (l ListenKey) String() string { return l.Network + " " + l.Address }

// Listens are the addresses that a server of this configuration listens on.
func Listens(cfg *config.Config) (list []ListenKey) {
	for i, address := range cfg.Listen.RADIUS {
		list = append(list, ListenKey{fmt.Sprintf("listen.radius[%d]", i), "udp", address})
	}
	for i, address := range cfg.Listen.Accounting {
		list = append(list, ListenKey{fmt.Sprintf("listen.accounting[%d]", i), "udp", address})
	}
	list = append(list, ListenKey{"listen.web", "tcp", cfg.Listen.Web})
	if t := cfg.Web.TLS; t.On() && !t.Files() && t.ACME.HTTPListen != "" {
		list = append(list, ListenKey{"web.tls.acme.http_listen", "tcp", t.ACME.HTTPListen})
	}
	return list
}

// ListenHint says what to do about an address that cannot be listened on.
func ListenHint(err error, key string) string {
	key, _, _ = strings.Cut(key, "[")
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program has the address (ss -lnp shows which): end it, or change " + key
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "a port below 1024 needs CAP_NET_BIND_SERVICE, as deploy/radmatch.service says: grant it, or change " + key
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no interface of this machine has the address: change " + key
	case errors.Is(err, syscall.EAFNOSUPPORT):
		return "this machine has no IPv6: change " + key
	}
	return "change " + key
}
