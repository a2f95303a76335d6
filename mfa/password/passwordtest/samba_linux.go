package passwordtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dcConf lets MS-CHAPv2 through and no other NTLMv1, as an administrator should:
// so the helpers need --allow-mschapv2.
const dcConf = `[global]
	netbios name = DC1
	realm = @REALM@
	workgroup = @NETBIOS@
	server role = active directory domain controller
	server services = rpc, ldap, cldap, kdc, winbindd, dns, s3fs
	interfaces = lo
	bind interfaces only = yes
	dns forwarder =
	ntlm auth = mschapv2-and-ntlmv2-only
	tls keyfile = @DIR@/dc.key
	tls certfile = @DIR@/dc.pem
	tls cafile = @DIR@/ca.pem
	private dir = @DIR@/dc/private
	state directory = @DIR@/dc/state
	cache directory = @DIR@/dc/cache
	lock directory = @DIR@/dc
	binddns dir = @DIR@/dc/bind-dns
	ncalrpc dir = @DIR@/dc/ncalrpc
	pid directory = @DIR@/dc
	ntp signd socket directory = @DIR@/dc/ntp_signd
	log file = @DIR@/dc/log.samba
	load printers = no
	printing = bsd
	disable spoolss = yes
[sysvol]
	path = @DIR@/dc/state/sysvol
[netlogon]
	path = @DIR@/dc/state/sysvol/scripts
`

const memberConf = `[global]
	netbios name = VPN1
	realm = @REALM@
	workgroup = @NETBIOS@
	security = ads
	interfaces = lo
	bind interfaces only = yes
	private dir = @DIR@/member/private
	state directory = @DIR@/member
	cache directory = @DIR@/member
	lock directory = @DIR@/member
	pid directory = @DIR@/member
	ncalrpc dir = @DIR@/member/ncalrpc
	log file = @DIR@/member/log.winbindd
	winbind max domain connections = 4
	idmap config * : backend = tdb
	idmap config * : range = 10000-20000
`

func (d *Domain) expand(text string) string {
	return strings.NewReplacer("@DIR@", d.Dir, "@REALM@", d.Realm, "@NETBIOS@", d.NetBIOS, "@BASE@", d.BaseDN).Replace(text)
}

// provision makes the directory and the certificate of the domain controller.
func (d *Domain) provision(t *testing.T) {
	t.Helper()
	d.certify(t)
	run(t, "", "samba-tool", "domain", "provision", "--targetdir="+d.path("dc"),
		"--realm="+d.Realm, "--domain="+d.NetBIOS, "--adminpass="+d.Password,
		"--server-role=dc", "--dns-backend=SAMBA_INTERNAL", "--host-name=dc1", "--host-ip="+HostAddress,
		"--option=interfaces=lo", "--option=bind interfaces only=yes")
	d.write(t, "dc.conf", d.expand(dcConf))
}

// certify makes a certificate authority and the certificate of the domain
// controller: Samba's own has no name that Go would accept.
func (d *Domain) certify(t *testing.T) {
	t.Helper()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Example CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: d.Host},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		DNSNames: []string{d.Host}, IPAddresses: []net.IP{net.ParseIP(HostAddress)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caKey, key := newKey(t), newKey(t)
	for _, c := range []struct {
		file string
		cert *x509.Certificate
		key  *ecdsa.PrivateKey
	}{{"ca.pem", ca, caKey}, {"dc.pem", leaf, key}} {
		der, err := x509.CreateCertificate(rand.Reader, c.cert, ca, &c.key.PublicKey, caKey)
		if err != nil {
			t.Fatal(err)
		}
		d.write(t, c.file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	d.write(t, "dc.key", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})))
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// StartDC starts the domain controller and waits until it answers. It has a /run
// of its own: its winbindd is not the one that ntlm_auth is to ask.
func (d *Domain) StartDC(t *testing.T) {
	t.Helper()
	d.dc = d.start(t, "dc.log", "unshare", "--mount", "sh", "-c",
		`mount -t tmpfs none /run && mkdir /run/samba && exec samba --foreground --no-process-group --configfile="$0"`, d.path("dc.conf"))
	for _, port := range []string{"53", "88", "135", "389", "445", "636"} {
		until(t, "domain controller, port "+port, func() bool { return listens(HostAddress + ":" + port) })
	}
}

// KillDC ends the domain controller, as a power cut does.
func (d *Domain) KillDC(t *testing.T) {
	t.Helper()
	d.kill(t, d.dc)
	until(t, "end of the domain controller", func() bool { return !listens(HostAddress+":389") && !listens(HostAddress+":445") })
}

// PauseDC stops the domain controller without closing anything, and goes on with it.
func (d *Domain) PauseDC(t *testing.T) (goOn func()) {
	t.Helper()
	if err := syscall.Kill(-d.dc.Process.Pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	return func() { syscall.Kill(-d.dc.Process.Pid, syscall.SIGCONT) }
}

// join makes this host a member of the domain. Its smb.conf is where ntlm_auth
// looks for it.
func (d *Domain) join(t *testing.T) {
	t.Helper()
	d.write(t, "smb.conf", d.expand(memberConf))
	err := errors.Join(os.Mkdir(d.path("member"), 0o755), os.Mkdir(d.path("member/private"), 0o755),
		bind(d.path("smb.conf"), "/etc/samba/smb.conf"))
	if err != nil {
		t.Fatal(err)
	}
	run(t, d.Password+"\n", "net", "ads", "join", "--user=Administrator", "--no-dns-updates")
}

// StartWinbind starts this host's winbindd and waits until it is served.
func (d *Domain) StartWinbind(t *testing.T) {
	t.Helper()
	d.winbindd = d.start(t, "winbindd.log", "winbindd", "--foreground", "--no-process-group")
	until(t, "winbindd", func() bool {
		return exec.Command("wbinfo", "--ping").Run() == nil && exec.Command("wbinfo", "--ping-dc").Run() == nil
	})
}

// KillWinbind ends this host's winbindd.
func (d *Domain) KillWinbind(t *testing.T) {
	t.Helper()
	d.kill(t, d.winbindd)
}

// start starts a daemon in a process group of its own.
func (d *Domain) start(t *testing.T, log, program string, args ...string) *exec.Cmd {
	t.Helper()
	out, err := os.Create(d.path(log))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(d.path(log))
			t.Logf("%s: %s", log, text)
		}
	})
	return cmd
}

func (d *Domain) kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
}
