package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The floor: the packets of a login sent to and fro with nothing done to them.

// packetSize is the octets of an Access-Request of the benchmark.
const packetSize = 100

// echo answers every packet with itself until the process is killed.
func echo(out io.Writer) error {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetReadBuffer(4 << 20); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n", c.LocalAddr())
	buf := make([]byte, 4096)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return err
		}
		if _, err := c.WriteToUDPAddrPort(buf[:n], from); err != nil {
			return err
		}
	}
}

// startEcho runs this program again as the echo server.
func (b *bench) startEcho(ctx context.Context) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{name: "UDP echo", cmd: exec.CommandContext(ctx, self, "-echo")}
	output := b.path("echo")
	return s, s.start(output, func() bool {
		text, _ := os.ReadFile(output)
		_, err := fmt.Sscanln(string(text), &s.addr)
		return err == nil
	})
}

// runEcho sends two packets a login, inFlight logins at a time.
func (b *bench) runEcho(s *server, inFlight, logins int) (*result, error) {
	before, err := s.cpu()
	if err != nil {
		return nil, err
	}
	took := make([][]float64, inFlight)
	errs := make([]error, inFlight)
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for i := range inFlight {
		wg.Go(func() { took[i], errs[i] = echoLogins(s.addr, &next, int64(logins)) })
	}
	wg.Wait()
	seconds := time.Since(start).Seconds()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	after, err := s.cpu()
	if err != nil {
		return nil, err
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	r := &result{cpu: float64((after - before).Microseconds()) / float64(logins)}
	r.Logins, r.Accepted, r.Rate = logins, logins, float64(logins)/seconds
	r.P50, r.P99 = all[len(all)/2], all[len(all)*99/100]
	r.resident, err = s.resident()
	return r, err
}

// echoLogins takes logins from next until none is left, and returns how
// many milliseconds each took.
func echoLogins(addr string, next *atomic.Int64, logins int64) (took []float64, err error) {
	c, err := net.Dial("udp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for next.Add(1) <= logins {
		start := time.Now()
		for range 2 {
			if err := exchange(c); err != nil {
				return nil, err
			}
		}
		took = append(took, float64(time.Since(start).Microseconds())/1000)
	}
	return took, nil
}

// exchange sends a packet until its echo comes: a full socket drops packets.
func exchange(c net.Conn) error {
	var buf [packetSize]byte
	for range 10 {
		if _, err := c.Write(buf[:]); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		_, err := c.Read(buf[:])
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return os.ErrDeadlineExceeded
}
