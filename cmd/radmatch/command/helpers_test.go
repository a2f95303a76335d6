package command

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// ntRightHorse is the NT hash of "right horse".
const ntRightHorse = "394f0bdba25738b048920d45059e48f5"

// goodUsers is a users.yaml.
const goodUsers = `users:
  - {name: alice, password: "{NT}` + ntRightHorse + `", groups: [staff]}
  - {name: bob, password: "{NT}` + ntRightHorse + `", groups: [staff]}
`

// rfcCode is RFC 6238 with SHA-1 and six digits, independent of package otp.
func rfcCode(key []byte, step int64) string {
	mac := hmac.New(sha1.New, key)
	binary.Write(mac, binary.BigEndian, step)
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1000000)
}

// rootPEM is a certificate.
func rootPEM(t *testing.T) string {
	t.Helper()
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
}

// readPage returns a page of docs.
func readPage(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../../docs", page))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
