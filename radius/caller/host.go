package caller

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// maxHostAddresses bounds the addresses of one name that are tried.
	maxHostAddresses = 8
	// lookAgain is how long it is believed which addresses a name has.
	lookAgain = 30 * time.Second
)

// Host is a server by its address or name. A name may have several addresses, an
// IPv6 and an IPv4 one, and the server may listen on only one of them: over UDP
// nothing tells that but an answer. So each is tried until one answers, and that
// is used until it gives no answer. The zero host without its addr is of no use;
// its methods may be called concurrently.
type Host struct {
	Addr string // host:port
	// lookup returns the addresses of a name; nil: the system's. It may be set
	// until the first call.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)

	once    sync.Once
	looking chan struct{} // capacity 1: who is in it asks the DNS

	mu     sync.Mutex
	found  []string // what the name meant when it was last looked up
	looked time.Time
	at     string // what answered last
	sure   bool   // and it has not failed since
}

// Targets returns the addresses to ask, with their ports, in their order. It is
// only one where that is known to answer.
func (h *Host) Targets(ctx context.Context) ([]string, error) {
	name, port, err := net.SplitHostPort(h.Addr)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(name); err == nil || name == "" {
		return []string{h.Addr}, nil
	}
	h.once.Do(func() { h.looking = make(chan struct{}, 1) })
	if list, fresh := h.known(); fresh {
		return list, nil
	}
	select {
	case h.looking <- struct{}{}:
		defer func() { <-h.looking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if list, fresh := h.known(); fresh {
		return list, nil // someone else has asked meanwhile
	}
	lookup := h.Lookup
	if lookup == nil {
		lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	addresses, err := lookup(ctx, name)
	if err == nil {
		h.learn(addresses, port)
	} else if list, _ := h.known(); len(list) == 0 {
		return nil, err
	} // otherwise what the name meant before
	list, _ := h.known()
	if len(list) == 0 {
		return nil, errors.New("the name has no address")
	}
	return list, nil
}

// known returns what is known of the addresses, and whether it need not be asked
// for again.
func (h *Host) known() (list []string, fresh bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fresh = len(h.found) > 0 && time.Since(h.looked) < lookAgain
	if h.sure {
		return []string{h.at}, fresh
	}
	list = slices.Clone(h.found)
	if i := slices.Index(list, h.at); i > 0 {
		list = slices.Insert(slices.Delete(list, i, i+1), 0, h.at)
	}
	return list, fresh
}

func (h *Host) learn(addresses []netip.Addr, port string) {
	var found []string
	for _, a := range addresses {
		at := net.JoinHostPort(a.Unmap().String(), port)
		if !slices.Contains(found, at) && len(found) < maxHostAddresses {
			found = append(found, at)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.found, h.looked = found, time.Now()
	if !slices.Contains(found, h.at) {
		h.at, h.sure = "", false
	}
}

// Answered notes that an address has answered.
func (h *Host) Answered(at string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at, h.sure = at, true
}

// Missed notes that the address that answered before gave no answer: the next one
// to ask tries them all, that one first.
func (h *Host) Missed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sure = false
}

// Addresses returns the addresses that host:port means, with the port, each once.
func Addresses(ctx context.Context, hostPort string) ([]string, error) {
	return (&Host{Addr: hostPort}).Targets(ctx)
}
