package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/radius/wire"
)

// With a key file that nodes may share, a rekey waits for the running server to have the key.
func TestRekeyShared(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+"seal: {key_file: keys/seal.key}\n"+siteClient)
	if err := os.Mkdir(p.path("keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.addTOTP("alice")
	p.start()
	s := p.nasSocket("127.0.0.1")
	signsIn := func(steps int64) {
		t.Helper()
		state := s.expect(signIn("alice", ""), wire.AccessChallenge).State()
		s.expect(answerTo("alice", state, totp("alice", steps)), wire.AccessAccept)
	}
	signsIn(-1)
	p.cli("rekey", "--prepare")
	out, code := p.output("rekey")
	if code != console.ExitFailure || !strings.Contains(out, "key 2: these servers do not have it yet: the running server (process") {
		t.Fatalf("exit %d, %s; want that the server lacks the key", code, out)
	}
	p.cli("reload")
	p.cli("rekey")
	signsIn(0)
	p.stop()
	p.start()
	s = p.nasSocket("127.0.0.1")
	signsIn(1)
}
