package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/base32"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa/password"
)

const (
	benchPassword = "correct-horse"
	benchSecret   = "radbench-secret-for-loopback-only"
)

//go:embed freeradius.conf
var freeradiusConf string

const radmatchConf = `listen:
  radius: ["127.0.0.1:0"]
  web: "127.0.0.1:0"
data_dir: data
log: {level: warn}
primaries:
  - {name: local, type: file, path: users.yaml}
clients:
  - name: bench
    addresses: [127.0.0.0/8]
    secret: ` + benchSecret + `
mfa:
  require_message_authenticator: "yes"
  challenge_ttl: 10m
  push_timeout: 5m
`

// site is a folder with the same users for both servers:
//
//	bench.txt secret                    for `radmatch bench`
//	radmatch/radmatch.yaml users.yaml tokens.csv data/
//	freeradius/radiusd.conf users
type site struct {
	dir   string
	users int
}

func (s site) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

func userName(i int) string { return fmt.Sprintf("user%06d", i) }

// tokenKey is the user's key, of 20 octets.
func tokenKey(i int) []byte {
	sum := sha1.Sum(binary.BigEndian.AppendUint64([]byte("radbench"), uint64(i)))
	return sum[:]
}

// tokenSecret is it in Base32: without padding, by its length.
func tokenSecret(i int) string { return base32.StdEncoding.EncodeToString(tokenKey(i)) }

// write makes every file that does not need radmatch to be made.
func (s site) write() error {
	nt, err := password.NTHash(benchPassword)
	if err != nil {
		return err
	}
	for _, dir := range []string{"radmatch", "freeradius"} {
		if err := os.MkdirAll(s.path(dir), 0o700); err != nil {
			return err
		}
	}
	ntHex := strings.TrimPrefix(nt, "{NT}")
	for _, f := range []struct {
		path, head string
		line       func(i int) string
	}{
		{s.path("secret"), benchSecret + "\n", nil},
		{s.path("bench.txt"), "", func(i int) string {
			return fmt.Sprintf("%s %s %s\n", userName(i), benchPassword, tokenSecret(i))
		}},
		{s.path("radmatch", "radmatch.yaml"), radmatchConf, nil},
		{s.path("radmatch", "users.yaml"), "users:\n", func(i int) string {
			return fmt.Sprintf("  - {name: %s, password: %q}\n", userName(i), nt)
		}},
		{s.path("radmatch", "tokens.csv"), "upn,serial number,secret key,time interval,manufacturer,model\n", func(i int) string {
			return fmt.Sprintf("%s,%07d,%s,30,Contoso,HardwareKey\n", userName(i), i, tokenSecret(i))
		}},
		{s.path("freeradius", "users"), "", func(i int) string {
			return fmt.Sprintf("%s NT-Password := 0x%s, TOTP-Secret := \"%s\"\n", userName(i), ntHex, tokenSecret(i))
		}},
	} {
		if err := s.writeFile(f.path, f.head, f.line); err != nil {
			return err
		}
	}
	return nil
}

//go:embed keeper-schema.sql
var keeperSchema string

//go:embed keeper-module.conf
var keeperModule string

//go:embed keeper-policy.conf
var keeperPolicy string

// What FreeRADIUS keeps of a login.
var (
	freeradiusAlone   = strings.NewReplacer("@KEEPER@", "", "@LOADED@", "", "@KEEP@", "")
	freeradiusKeeping = strings.NewReplacer("@KEEPER@", keeperModule, "@LOADED@", "\texpr\n\tsql\n", "@KEEP@", keeperPolicy)
)

// writeFreeRADIUS writes the configuration of that name for a port that is free now.
func (s site) writeFreeRADIUS(name string, port, threads int, keep *strings.Replacer) error {
	conf := keep.Replace(freeradiusConf)
	conf = strings.NewReplacer("@DIR@", s.path("freeradius"), "@SECRET@", benchSecret, "@NAME@", name,
		"@PORT@", strconv.Itoa(port), "@THREADS@", strconv.Itoa(threads)).Replace(conf)
	return os.WriteFile(s.path("freeradius", name+".conf"), []byte(conf), 0o600)
}

func (s site) writeFile(path, head string, line func(i int) string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	w.WriteString(head)
	if line != nil {
		for i := range s.users {
			w.WriteString(line(i))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// addTLS gives radmatch a certificate, and returns what a client knows it by.
func (s site) addTLS() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	conf, err := os.ReadFile(s.path("radmatch", "radmatch.yaml"))
	if err != nil {
		return nil, err
	}
	for name, text := range map[string][]byte{
		"cert.pem":      pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		"key.pem":       pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		"radmatch.yaml": append(conf, "web: {public_url: \"https://127.0.0.1\", tls: {cert_file: cert.pem, key_file: key.pem}}\n"...),
	} {
		if err := os.WriteFile(s.path("radmatch", name), text, 0o600); err != nil {
			return nil, err
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", NextProtos: []string{"http/1.1"}}, nil
}
