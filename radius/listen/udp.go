package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/radius"
)

// receiveBuffer is asked of the kernel for each socket: a burst waits there
// rather than being lost. The kernel may grant less.
const receiveBuffer = 4 << 20

// UDP hands what comes to its addresses to a server. Its exported fields are set
// before Open; its methods may be called concurrently.
type UDP struct {
	Server     *radius.Server
	Accounting bool        // Accounting-Requests are asked for there, not logins
	Logger     *zap.Logger // nil: none

	mu      sync.Mutex
	open    []*socket
	addrs   []netip.AddrPort
	closed  chan struct{}
	readers sync.WaitGroup
}

// socket is one UDP socket; the sockets of one address share its port, and the
// kernel spreads the clients over them.
type socket struct {
	conn     *net.UDPConn
	raw      syscall.RawConn
	flow     uint32
	wildcard bool // answers must name the address that they leave from
}

// Open opens addresses ("host:port"; without a host, every IPv4 and IPv6 address) and
// begins to serve them. Port 0 takes a free one: see Addrs. It is called once; on an
// error none of them is open. ctx ends the opening, not the serving, which the
// server's Shutdown or Close does.
func (u *UDP) Open(ctx context.Context, addresses []string) error {
	if u.Logger == nil {
		u.Logger = zap.NewNop()
	}
	u.closed = make(chan struct{})
	err := u.openAll(ctx, addresses)
	if err == nil {
		err = u.Server.Attach(u)
	}
	if err != nil {
		u.Close()
		u.addrs = nil
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, k := range u.open { // none, if the server has just been shut down
		u.readers.Go(func() { u.read(k) })
	}
	return nil
}

// Addrs returns the addresses that are served, in the order of Open.
func (u *UDP) Addrs() []netip.AddrPort {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.addrs)
}

// Close closes the sockets and waits for their readers.
func (u *UDP) Close() error {
	u.mu.Lock()
	for _, k := range u.open {
		k.conn.Close()
	}
	if u.open != nil {
		close(u.closed)
	}
	u.open = nil
	u.mu.Unlock()
	u.readers.Wait()
	return nil
}

func (u *UDP) openAll(ctx context.Context, addresses []string) error {
	for _, address := range addresses {
		if err := u.openAddress(ctx, address); err != nil {
			return fmt.Errorf("listen on %q: %w", address, err)
		}
	}
	return nil
}

// openAddress opens the sockets of one address of the configuration.
func (u *UDP) openAddress(ctx context.Context, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	hosts := []string{host}
	if host == "" {
		hosts = []string{"0.0.0.0", "::"}
	}
	for i, host := range hosts {
		at, err := net.ResolveUDPAddr("udp", net.JoinHostPort(host, port))
		if err != nil {
			return err
		}
		group, bound, err := openGroup(ctx, at.AddrPort(), u.Server.NewFlow())
		if i > 0 && errors.Is(err, syscall.EAFNOSUPPORT) {
			u.Logger.Info("this machine has no IPv6", zap.String("listen", address))
			continue
		}
		if err != nil {
			return err
		}
		u.mu.Lock()
		u.open = append(u.open, group...)
		u.addrs = append(u.addrs, bound)
		u.mu.Unlock()
		port = strconv.Itoa(int(bound.Port()))
	}
	return nil
}

// openGroup opens one socket a processor at the same address.
func openGroup(ctx context.Context, at netip.AddrPort, flow uint32) (group []*socket, bound netip.AddrPort, err error) {
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	network := "udp4"
	if at.Addr().Is6() {
		network = "udp6" // only IPv6, so that 0.0.0.0 can be listed beside ::
	}
	// Sharing a port is only meant among our own sockets: another server on it,
	// which would get a part of the packets, is found by asking only for it.
	alone, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, bound, err
	}
	bound = alone.LocalAddr().(*net.UDPAddr).AddrPort()
	bound = netip.AddrPortFrom(at.Addr(), bound.Port())
	alone.Close()
	for range runtime.GOMAXPROCS(0) {
		k := &socket{flow: flow, wildcard: at.Addr().IsUnspecified()}
		lc := net.ListenConfig{Control: k.control}
		conn, err := lc.ListenPacket(ctx, network, bound.String())
		if err == nil {
			k.conn = conn.(*net.UDPConn)
			group = append(group, k)
			k.raw, err = k.conn.SyscallConn()
		}
		if err != nil {
			for _, k := range group {
				k.conn.Close()
			}
			return nil, bound, err
		}
		_ = k.conn.SetReadBuffer(receiveBuffer) // less is not an error
	}
	return group, bound, nil
}

// read serves one socket until it is closed.
func (u *UDP) read(k *socket) {
	a := &radius.Arrival{Sender: k, Accounting: u.Accounting, Flow: k.flow}
	pause := time.Duration(0)
	took := func(a *radius.Arrival) {
		pause = 0
		u.Server.Receive(a)
	}
	for {
		err := k.receive(a, took)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// Whatever the kernel complains about, a loop without rest would only add to it.
		if pause == 0 {
			u.Logger.Error("reading a socket", zap.Stringer("address", k.conn.LocalAddr()), zap.Error(err))
		}
		pause = min(max(2*pause, time.Millisecond), time.Second)
		select {
		case <-time.After(pause):
		case <-u.closed:
			return
		}
	}
}
