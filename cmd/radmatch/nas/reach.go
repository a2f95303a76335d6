package nas

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius"
	"github.com/radmatch/radmatch/radius/caller"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/wire"
)

// loginCaller is one way to ask the server: from one address of this machine to
// one of the server's, as the client that has that address.
type loginCaller struct {
	client string
	caller *caller.Caller
}

// reach returns the client that this machine can be, and how it asks the server.
// Of a server whose name has several addresses it takes the first one that
// answers a Status-Server; where none does, the first.
func (l *Login) reach(ctx context.Context, cfg *config.Config) (string, *caller.Caller, error) {
	server := l.Server
	if server == "" {
		if len(cfg.Listen.RADIUS) == 0 {
			return "", nil, console.UsageError("radmatch login --server HOST:PORT", "listen.radius has no address")
		}
		server = reachable(cfg.Listen.RADIUS[0])
	}
	addresses, err := caller.Addresses(ctx, server)
	if err != nil {
		return "", nil, console.UsageError("radmatch login --server HOST:PORT", "server %q: %w", server, err)
	}
	var ways []loginCaller
	var unreachable error
	for _, address := range addresses {
		way, err := l.way(cfg, address)
		switch {
		case err == nil:
			ways = append(ways, way)
		case unreachable == nil:
			unreachable = err
		}
	}
	if len(ways) == 0 {
		return "", nil, unreachable
	}
	use := answering(ctx, ways)
	return use.client, use.caller, nil
}

// answering returns the first way on which the server answers a Status-Server;
// where it does on none, the first.
func answering(ctx context.Context, ways []loginCaller) loginCaller {
	for i := 0; len(ways) > 1 && i < len(ways); i++ {
		if ways[i].answers(ctx) {
			return ways[i]
		}
	}
	return ways[0]
}

// answers reports whether the server is there.
func (w *loginCaller) answers(ctx context.Context) bool {
	try := caller.Caller{Addr: w.caller.Addr, Local: w.caller.Local, Secret: w.caller.Secret, First: 300 * time.Millisecond, Total: time.Second}
	_, err := try.Exchange(ctx, &wire.Query{Code: wire.StatusServer})
	return err == nil
}

// way finds the client that this machine can be towards an address of the server.
func (l *Login) way(cfg *config.Config, server string) (loginCaller, error) {
	hint := fmt.Sprintf("radmatch explain %s, or give a client the address of this machine", l.User)
	sources, err := localAddresses(cfg, server)
	if err != nil {
		return loginCaller{}, console.UsageError("radmatch login --server HOST:PORT", "server %q: %w", server, err)
	}
	table, err := loginTable(cfg)
	if err != nil {
		return loginCaller{}, err
	}
	for _, source := range sources {
		c, ok := table.Lookup(source)
		if !ok || (l.Client != "" && c.Name != l.Client) {
			continue
		}
		i := clientIndex(cfg, c.Name)
		return loginCaller{c.Name, &caller.Caller{
			Addr: server, Local: source, Secret: wire.NewSecret(c.Secrets[0]),
			Total: cfg.Clients[i].MFA.PushTimeout + loginMargin,
		}}, nil
	}
	switch {
	case l.Client == "":
		return loginCaller{}, console.UsageError(hint, "no client has an address of this machine")
	case clientIndex(cfg, l.Client) < 0:
		return loginCaller{}, console.UsageError(hint, "no client is named %q", l.Client)
	}
	if proxy := cfg.Clients[clientIndex(cfg, l.Client)].Behind; proxy != "" {
		return loginCaller{}, console.UsageError(fmt.Sprintf("radmatch explain %s --client %s", l.User, l.Client),
			"client %q is behind client %q: only a request with its NAS-Identifier or its address of a NAS is its", l.Client, proxy)
	}
	return loginCaller{}, console.UsageError(hint, "client %q has no address of this machine, or another client has it with a longer prefix", l.Client)
}

// loginTable finds clients as the server does.
func loginTable(cfg *config.Config) (*radius.Table, error) {
	var clients []radius.Client
	for i := range cfg.Clients {
		c := &cfg.Clients[i]
		if c.Behind != "" {
			continue
		}
		own := radius.Client{Name: c.Name, Prefixes: c.Addresses, Profile: &profile.Profile{}, Policy: &mfa.Client{}}
		for _, s := range c.Secret {
			own.Secrets = append(own.Secrets, []byte(s))
		}
		clients = append(clients, own)
	}
	return radius.NewTable(clients)
}

func clientIndex(cfg *config.Config, name string) int {
	for i := range cfg.Clients {
		if cfg.Clients[i].Name == name {
			return i
		}
	}
	return -1
}

// reachable turns an address that the server listens on into one that it can be
// asked at.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

// localAddresses lists the addresses that this machine can ask server from: first
// the one that it would use by itself, then those of the clients on the loopback
// network and of its interfaces.
func localAddresses(cfg *config.Config, server string) ([]netip.Addr, error) {
	conn, err := net.Dial("udp", server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	first := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	list := []netip.Addr{first}
	if first.IsLoopback() && first.Is4() {
		for i := range cfg.Clients {
			for _, p := range cfg.Clients[i].Addresses {
				if a := p.Addr().Unmap(); a.Is4() && a.IsLoopback() && p.IsSingleIP() {
					list = append(list, a)
				}
			}
		}
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return list, nil
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok && addr.Unmap().Is4() == first.Is4() && !addr.IsLinkLocalUnicast() {
				list = append(list, addr.Unmap())
			}
		}
	}
	return list, nil
}
