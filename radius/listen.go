package radius

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/radius/wire"
)

// receiveBuffer is asked of the kernel for each socket: a burst waits there
// rather than being lost. The kernel may grant less.
const receiveBuffer = 4 << 20

// sockets are the open sockets of a server.
type sockets struct {
	mu      sync.Mutex
	closed  bool
	open    []*socket
	addrs   []netip.AddrPort
	readers sync.WaitGroup
}

// socket is one UDP socket; the sockets of one address share its port, and the
// kernel spreads the clients over them.
type socket struct {
	conn       *net.UDPConn
	listener   uint16
	accounting bool
	wildcard   bool // answers must name the address that they leave from
}

// send implements sender.
func (k *socket) send(b []byte, to netip.AddrPort, oob []byte) error {
	if len(oob) == 0 {
		_, err := k.conn.WriteToUDPAddrPort(b, to)
		return err
	}
	_, _, err := k.conn.WriteMsgUDPAddrPort(b, oob, to)
	return err
}

// Listen opens addresses ("host:port"; without a host, every IPv4 and IPv6
// address) and begins to serve them. Port 0 takes a free one: see Addrs. On an
// error none of them is open. ctx ends the opening, not the serving.
func (s *Server) Listen(ctx context.Context, addresses []string) error {
	return s.listen(ctx, &s.sockets, addresses, false)
}

func (s *Server) listen(ctx context.Context, group *sockets, addresses []string, accounting bool) error {
	s.start()
	var opened []*socket
	var addrs []netip.AddrPort
	for _, address := range addresses {
		more, at, err := s.open(ctx, address, uint16(len(group.addresses())+len(addrs)))
		opened = append(opened, more...)
		addrs = append(addrs, at...)
		if err != nil {
			for _, k := range opened {
				k.conn.Close()
			}
			return fmt.Errorf("listen on %q: %w", address, err)
		}
	}
	group.mu.Lock()
	defer group.mu.Unlock()
	if group.closed {
		for _, k := range opened {
			k.conn.Close()
		}
		return net.ErrClosed
	}
	group.open = append(group.open, opened...)
	group.addrs = append(group.addrs, addrs...)
	for _, k := range opened {
		k.accounting = accounting
		group.readers.Go(func() { s.read(k) })
	}
	return nil
}

// Addrs returns the addresses that are served, in the order of Listen.
func (s *Server) Addrs() []netip.AddrPort { return s.sockets.addresses() }

// AccountingAddrs is Addrs for ListenAccounting.
func (s *Server) AccountingAddrs() []netip.AddrPort { return s.reports.sockets.addresses() }

func (k *sockets) addresses() []netip.AddrPort {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]netip.AddrPort(nil), k.addrs...)
}

// close closes the sockets and waits for their readers.
func (k *sockets) close() {
	k.mu.Lock()
	k.closed = true
	for _, sock := range k.open {
		sock.conn.Close()
	}
	k.open = nil
	k.mu.Unlock()
	k.readers.Wait()
}

// open opens the sockets of one address of the configuration.
func (s *Server) open(ctx context.Context, address string, listener uint16) (opened []*socket, addrs []netip.AddrPort, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	hosts := []string{host}
	if host == "" {
		hosts = []string{"0.0.0.0", "::"}
	}
	for i, host := range hosts {
		at, err := net.ResolveUDPAddr("udp", net.JoinHostPort(host, port))
		if err != nil {
			return opened, addrs, err
		}
		group, bound, err := openGroup(ctx, at.AddrPort(), listener+uint16(i))
		if i > 0 && errors.Is(err, syscall.EAFNOSUPPORT) {
			s.log.Info("this machine has no IPv6", zap.String("listen", address))
			continue
		}
		if err != nil {
			return opened, addrs, err
		}
		opened = append(opened, group...)
		addrs = append(addrs, bound)
		port = strconv.Itoa(int(bound.Port()))
	}
	return opened, addrs, nil
}

// openGroup opens one socket a processor at the same address.
func openGroup(ctx context.Context, at netip.AddrPort, listener uint16) (group []*socket, bound netip.AddrPort, err error) {
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	network := "udp4"
	if at.Addr().Is6() {
		network = "udp6" // IPv6 alone, so that 0.0.0.0 can be listed beside ::
	}
	// Sharing a port is only meant among our own sockets: another server on it,
	// which would get a part of the packets, is found by asking for it alone.
	alone, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, bound, err
	}
	bound = alone.LocalAddr().(*net.UDPAddr).AddrPort()
	bound = netip.AddrPortFrom(at.Addr(), bound.Port())
	alone.Close()
	for range runtime.GOMAXPROCS(0) {
		k := &socket{listener: listener, wildcard: at.Addr().IsUnspecified()}
		lc := net.ListenConfig{Control: k.control}
		conn, err := lc.ListenPacket(ctx, network, bound.String())
		if err != nil {
			for _, k := range group {
				k.conn.Close()
			}
			return nil, bound, err
		}
		k.conn = conn.(*net.UDPConn)
		_ = k.conn.SetReadBuffer(receiveBuffer) // less is not an error
		group = append(group, k)
	}
	return group, bound, nil
}

// read serves one socket until it is closed.
func (s *Server) read(k *socket) {
	var datagram [wire.MaxPacketSize]byte
	var oob [oobSize]byte
	pause := time.Duration(0)
	a := &arrival{out: k, accounting: k.accounting, listener: k.listener}
	for {
		var n, noob int
		var err error
		n, noob, _, a.from, err = k.conn.ReadMsgUDPAddrPort(datagram[:], oob[:])
		if err == nil {
			pause = 0
			a.oob, a.at = readControl(oob[:noob])
			s.receive(a, datagram[:n])
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// Whatever the kernel complains about, a loop without rest would only add to it.
		if pause == 0 {
			s.log.Error("reading a socket", zap.Stringer("address", k.conn.LocalAddr()), zap.Error(err))
		}
		pause = min(max(2*pause, time.Millisecond), time.Second)
		select {
		case <-time.After(pause):
		case <-s.ctx.Done():
			return
		}
	}
}
