package main

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/radmatch/radmatch/config"
)

// listenKey is one address of the configuration, with its key.
type listenKey struct{ key, network, address string }

func (l listenKey) String() string { return l.network + " " + l.address }

// listens are the addresses that a server of this configuration listens on.
func listens(cfg *config.Config) (list []listenKey) {
	for i, address := range cfg.Listen.RADIUS {
		list = append(list, listenKey{fmt.Sprintf("listen.radius[%d]", i), "udp", address})
	}
	for i, address := range cfg.Listen.Accounting {
		list = append(list, listenKey{fmt.Sprintf("listen.accounting[%d]", i), "udp", address})
	}
	list = append(list, listenKey{"listen.web", "tcp", cfg.Listen.Web})
	if t := cfg.Web.TLS; t.On() && !t.Files() && t.ACME.HTTPListen != "" {
		list = append(list, listenKey{"web.tls.acme.http_listen", "tcp", t.ACME.HTTPListen})
	}
	return list
}

// listenHint says what to do about an address that cannot be listened on.
func listenHint(err error, key string) string {
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
