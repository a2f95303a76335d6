package caller

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/radius/wire"
)

// server reads one socket and answers by the function, for tests of the client.
func fakeServer(t *testing.T, answer func(n int, request []byte) [][]byte) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, wire.MaxPacketSize)
		for n := 0; ; n++ {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, p := range answer(n, bytes.Clone(buf[:size])) {
				conn.WriteTo(p, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

func accept(request []byte, secret string) []byte {
	w := wire.NewWriter(nil, wire.AccessAccept, request[1], request[4:20], wire.NewSecret([]byte(secret)))
	p, _ := w.SealAnswer()
	return p
}

func TestExchangeRetransmits(t *testing.T) {
	var first []byte
	addr := fakeServer(t, func(n int, request []byte) [][]byte {
		switch n {
		case 0:
			first = request
			return nil // lost
		case 1:
			if !bytes.Equal(first, request) {
				t.Error("got a retransmission that differs from the request; want the same octets")
			}
			return [][]byte{accept(request, "forged"), {1, 2, 3}, accept(request, testSecret)}
		}
		return nil
	})
	caller := &Caller{Addr: addr, Secret: wire.NewSecret([]byte(testSecret)), First: 20 * time.Millisecond}
	a, err := caller.Exchange(t.Context(), query("nemo"))
	if err != nil || a.Code != wire.AccessAccept {
		t.Errorf("got %v, %v", a.Code, err)
	}
}

func TestExchangeWithoutAnswer(t *testing.T) {
	forged := fakeServer(t, func(_ int, request []byte) [][]byte { return [][]byte{accept(request, "wrong")} })
	silent := fakeServer(t, func(int, []byte) [][]byte { return nil })
	caller := &Caller{Addr: forged, Secret: wire.NewSecret([]byte(testSecret)), First: 10 * time.Millisecond, Total: 50 * time.Millisecond}
	if _, err := caller.Exchange(t.Context(), query("nemo")); !errors.Is(err, ErrNoAnswer) || !strings.Contains(err.Error(), "another secret") {
		t.Errorf("forged: got %v; want ErrNoAnswer, \"another secret\" in it", err)
	}
	caller.Addr = silent
	if _, err := caller.Exchange(t.Context(), query("nemo")); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("silent: got %v; want ErrNoAnswer", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	caller.Total = time.Hour
	if _, err := caller.Exchange(ctx, query("nemo")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v; want context.Canceled", err)
	}
}
