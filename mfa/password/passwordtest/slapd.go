package passwordtest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// What every Slapd has.
const (
	SlapdBase          = "dc=example,dc=org"
	SlapdAdmin         = "cn=admin," + SlapdBase
	SlapdAdminPassword = "admin secret"
	SlapdPassword      = "right horse" // of every user
)

// SlapdMissing means that OpenLDAP is not installed.
var errMissing = errors.New("a program is missing: run testdata/install-peers as root")

// IsMissing reports whether err is that a program is not installed.
func IsMissing(err error) bool { return errors.Is(err, errMissing) }

// Slapd is a real OpenLDAP server on loopback ports, with the overlays memberof
// and ppolicy, provisioned with users and groups:
//
//	alice  in staff, which is in vpn-users, which is in everyone and everyone in it;
//	       by uniqueMember in unique, by memberUid in posix; department "sales",
//	       mail alice@example.org; may sign in as al too
//	bob    in no group
//	locked, expired, reset: what ppolicy knows of accounts
//
// Its methods are for one goroutine at a time.
type Slapd struct {
	Dir        string // all its files; CA is in it
	Plain, TLS string // ldap:// and ldaps:// URLs, with 127.0.0.1
	CA         string // file of the authority of its certificate, which is for localhost and 127.0.0.1
	Other      string // file of an authority that has nothing to do with it

	program string
	cmd     *exec.Cmd
	done    chan struct{}
}

// NewSlapd makes and starts one with its files in dir. Close ends it.
func NewSlapd(dir string) (*Slapd, error) {
	s := &Slapd{Dir: dir, CA: filepath.Join(dir, "ca.pem"), Other: filepath.Join(dir, "other.pem")}
	var err error
	if s.program, err = findProgram("slapd"); err != nil {
		return nil, err
	}
	if err := s.writeCertificates(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "slapd.conf"), []byte(strings.ReplaceAll(slapdConfig, "DIR", dir)), 0o600); err != nil {
		return nil, err
	}
	for range 3 { // another program may take a port in between
		var ports [2]string
		if ports, err = freePorts(); err != nil {
			return nil, err
		}
		s.Plain, s.TLS = "ldap://127.0.0.1:"+ports[0], "ldaps://127.0.0.1:"+ports[1]
		if err = s.Start(); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if err := s.Add(slapdEntries); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// findProgram also looks where the path of a user does not lead.
func findProgram(name string) (string, error) {
	for _, name := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, errMissing)
}

// Start starts the server, again after Kill, and waits until it takes connections.
func (s *Slapd) Start() error {
	var log bytes.Buffer
	s.cmd = exec.Command(s.program, "-h", s.Plain+" "+s.TLS, "-f", filepath.Join(s.Dir, "slapd.conf"), "-d", "0")
	s.cmd.Stdout, s.cmd.Stderr = &log, &log
	// A test that is killed takes its server along.
	s.cmd.SysProcAttr = diesWithTest()
	if err := s.cmd.Start(); err != nil {
		return err
	}
	cmd, done := s.cmd, make(chan struct{})
	s.done = done
	go func() {
		cmd.Wait()
		close(done)
	}()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		select {
		case <-done:
			return fmt.Errorf("slapd has ended: %s", log.Bytes())
		default:
		}
		c, err := net.DialTimeout("tcp", strings.TrimPrefix(s.TLS, "ldaps://"), time.Second)
		if err == nil {
			return c.Close()
		}
		time.Sleep(10 * time.Millisecond) // there is nothing else to wait on
	}
	s.Close()
	return errors.New("slapd does not start")
}

// Close ends the server for good.
func (s *Slapd) Close() {
	if s.cmd != nil {
		s.cmd.Process.Signal(syscall.SIGCONT)
		s.Kill()
	}
}

// Kill ends the server at once; Start starts it again on the same ports.
func (s *Slapd) Kill() {
	s.cmd.Process.Kill()
	<-s.done
}

// Hang stops the server without ending it: it takes connections and answers
// nothing until Resume.
func (s *Slapd) Hang() error {
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for range 1000 { // the signal takes its time on a busy machine
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
		if _, state, _ := bytes.Cut(stat, []byte(") ")); err != nil || bytes.HasPrefix(state, []byte("T")) {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("slapd does not stop")
}

// Resume lets it go on.
func (s *Slapd) Resume() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Add adds entries in LDIF, and changes those with a changetype.
func (s *Slapd) Add(ldif string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ldapmodify", "-a", "-x", "-H", s.Plain, "-D", SlapdAdmin, "-w", SlapdAdminPassword)
	cmd.Stdin = strings.NewReader(ldif)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ldapmodify: %w: %s", err, out)
	}
	return nil
}

// Failures is how many wrong passwords the server has counted for a user.
func (s *Slapd) Failures(user string) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ldapsearch", "-LLL", "-x", "-H", s.Plain, "-D", SlapdAdmin, "-w", SlapdAdminPassword,
		"-b", "uid="+user+",ou=users,"+SlapdBase, "-s", "base", "pwdFailureTime").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("ldapsearch: %w: %s", err, out)
	}
	return bytes.Count(out, []byte("pwdFailureTime: ")), nil
}

func freePorts() (ports [2]string, err error) {
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return ports, err
		}
		defer l.Close()
		_, ports[i], _ = net.SplitHostPort(l.Addr().String())
	}
	return ports, nil
}

// writeCertificates makes an authority, a certificate of it for localhost, and
// another authority.
func (s *Slapd) writeCertificates() error {
	authority, err := NewAuthority()
	if err != nil {
		return err
	}
	other, err := NewAuthority()
	if err != nil {
		return err
	}
	cert, key, err := authority.Issue(time.Now().Add(time.Hour), "localhost", "127.0.0.1")
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"ca.pem": authority.PEM, "other.pem": other.PEM, "cert.pem": cert, "key.pem": key} {
		if err := os.WriteFile(filepath.Join(s.Dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Authority issues certificates for tests.
type Authority struct {
	PEM  []byte
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes one.
func NewAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test Authority"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &Authority{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), cert, key}, err
}

// Issue returns a certificate for names, and its key, in PEM.
func (a *Authority) Issue(until time.Time, names ...string) (cert, key []byte, err error) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &own.PublicKey, a.key)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), nil
}

// KeyPair is Issue for a Go server.
func (a *Authority) KeyPair(until time.Time, names ...string) (tls.Certificate, error) {
	cert, key, err := a.Issue(until, names...)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

const slapdConfig = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload ppolicy
pidfile DIR/slapd.pid
TLSCACertificateFile DIR/ca.pem
TLSCertificateFile DIR/cert.pem
TLSCertificateKeyFile DIR/key.pem
database mdb
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw "admin secret"
directory DIR/db
maxsize 268435456
dbnosync
index objectClass,uid,mail,member,uniqueMember,memberUid eq
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="ou=hidden,dc=example,dc=org" by dn="cn=reader,dc=example,dc=org" none by * none
access to * by dn="cn=reader,dc=example,dc=org" read by anonymous auth by * none
overlay memberof
memberof-refint true
overlay ppolicy
ppolicy_default "cn=default,ou=policies,dc=example,dc=org"
ppolicy_use_lockout
`

const slapdEntries = `dn: dc=example,dc=org
objectClass: domain
dc: example

dn: ou=users,dc=example,dc=org
objectClass: organizationalUnit
ou: users

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: ou=hidden,dc=example,dc=org
objectClass: organizationalUnit
ou: hidden

dn: ou=policies,dc=example,dc=org
objectClass: organizationalUnit
ou: policies

dn: cn=default,ou=policies,dc=example,dc=org
objectClass: organizationalRole
objectClass: pwdPolicy
cn: default
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 50
pwdMustChange: TRUE

dn: cn=short,ou=policies,dc=example,dc=org
objectClass: organizationalRole
objectClass: pwdPolicy
cn: short
pwdAttribute: userPassword
pwdMaxAge: 1

dn: cn=reader,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: reader secret

dn: uid=alice,ou=users,dc=example,dc=org
objectClass: inetOrgPerson
cn: Alice Example
sn: Example
uid: alice
uid: al
mail: alice@example.org
departmentNumber: sales
userPassword: right horse

dn: uid=Bob,ou=users,dc=example,dc=org
objectClass: inetOrgPerson
cn: Bob
sn: Example
uid: Bob
userPassword: right horse

dn: cn=No One,ou=users,dc=example,dc=org
objectClass: inetOrgPerson
cn: No One
sn: Example
uid: nopassword

dn: uid=twin,ou=users,dc=example,dc=org
objectClass: inetOrgPerson
cn: Twin
sn: Example
uid: twin
userPassword: right horse

dn: cn=Other Twin,ou=users,dc=example,dc=org
objectClass: inetOrgPerson
cn: Other Twin
sn: Example
uid: twin
userPassword: right horse

dn: uid=locked,ou=users,dc=example,dc=org
objectClass: inetOrgPerson
cn: Locked
sn: Example
uid: locked
userPassword: right horse

dn: uid=reset,ou=users,dc=example,dc=org
objectClass: inetOrgPerson
cn: Reset
sn: Example
uid: reset
userPassword: right horse

dn: uid=expired,ou=users,dc=example,dc=org
objectClass: inetOrgPerson
cn: Expired
sn: Example
uid: expired
pwdPolicySubentry: cn=short,ou=policies,dc=example,dc=org
userPassword: right horse

dn: cn=staff,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: staff
member: uid=alice,ou=users,dc=example,dc=org

dn: cn=vpn-users,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: vpn-users
member: cn=staff,ou=groups,dc=example,dc=org

dn: cn=everyone,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: everyone
member: cn=vpn-users,ou=groups,dc=example,dc=org

dn: cn=unique,ou=groups,dc=example,dc=org
objectClass: groupOfUniqueNames
cn: unique
uniqueMember: uid=alice,ou=users,dc=example,dc=org

dn: cn=posix,ou=groups,dc=example,dc=org
objectClass: posixGroup
cn: posix
gidNumber: 2000
memberUid: alice

dn: cn=elsewhere,ou=users,dc=example,dc=org
objectClass: groupOfNames
cn: elsewhere
member: uid=alice,ou=users,dc=example,dc=org

dn: cn=vpn-users,ou=groups,dc=example,dc=org
changetype: modify
add: member
member: cn=everyone,ou=groups,dc=example,dc=org

dn: uid=locked,ou=users,dc=example,dc=org
changetype: modify
add: pwdAccountLockedTime
pwdAccountLockedTime: 000001010000Z

dn: uid=reset,ou=users,dc=example,dc=org
changetype: modify
add: pwdReset
pwdReset: TRUE
`
