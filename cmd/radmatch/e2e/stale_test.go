package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/radmatch/radmatch/radius/wire"
)

// A server that stood still answers only what its clients still wait for.
func TestStoodStill(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+`clients:
  - {name: short, addresses: [127.0.0.1], secret: `+testSecret+`, exempt_client: true, nas_timeout: 1s}
  - {name: long, addresses: [127.0.0.2], secret: `+testSecret+`, exempt_client: true, nas_timeout: 60s}
mfa: {reject_delay: 500ms}
`)
	short, long := p.nasSocket("127.0.0.1"), p.nasSocket("127.0.0.2")
	short.expect(signIn("alice", ""), wire.AccessAccept)
	p.signal(syscall.SIGSTOP)
	short.start(signIn("alice", ""))
	waits := long.start(signIn("alice", ""))
	time.Sleep(1100 * time.Millisecond) // the client's time
	p.signal(syscall.SIGCONT)
	long.gets(waits, wire.AccessAccept)
	short.silent()
	short.expect(signIn("alice", ""), wire.AccessAccept)
	p.await("server.log", `"client":"short","source":"127.0.0.1","reason":"client_waits_no_more"`)
}
