package wire

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa"
)

const testSecret = "xyzzy5461" // of the RFCs' examples

func authOf(n byte) *[16]byte { return &[16]byte{n, 1, 2, 3} }

func emptyMA() []byte { return append([]byte{TypeMessageAuthenticator, 18}, make([]byte, 16)...) }

func query(user string) *Query {
	return &Query{Code: AccessRequest, User: user, Cred: mfa.Password("arctangent")}
}

func accept(request []byte, secret string) []byte {
	w := NewWriter(nil, AccessAccept, request[1], request[4:20], NewSecret([]byte(secret)))
	p, _ := w.SealAnswer()
	return p
}

// fixtures are the files of testdata/packet.
func fixtures(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("../../testdata/packet/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no packets: %v", err)
	}
	return files
}

// readFixture returns the datagram of such a file.
func readFixture(t testing.TB, file string) (datagram []byte) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		switch word, _, _ := strings.Cut(line, " "); word {
		case "#", "require", "expect":
		default:
			datagram = append(datagram, unhex(t, line)...)
		}
	}
	return datagram
}
