package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

// TestClients signs in through real RADIUS clients and proxies, each with the
// files and the client that docs/clients-servers.md or docs/proxies.md shows.
func TestClients(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"pamtester", "ocserv", "openconnect", "openvpn", "ipsec", "freeradius", "radclient", "eapol_test", "radsecproxy", "pppd"} {
		needPeer(t, program)
	}
	passwordtest.InHost(t, func(t *testing.T) {
		passwordtest.OwnEtc(t)
		for _, address := range []string{"192.0.2.1", "192.0.2.20", "192.0.2.30"} {
			runHost(t, "ip", "address", "add", address+"/32", "dev", "lo")
		}
		t.Run("pam", nasPAM)
		t.Run("ocserv", nasOcserv)
		t.Run("openvpn by PAM", nasOpenVPNByPAM)
		t.Run("openvpn by plugin", nasOpenVPNByPlugin)
		t.Run("strongswan", nasStrongSwan)
		t.Run("pppd", nasPPPD)
		t.Run("freeradius", nasFreeRADIUS)
		t.Run("radsecproxy", nasRadsecproxy)
	})
}

func nasPAM(t *testing.T) {
	s := openSection(t, "clients-servers.md", "pam")
	s.install(0)
	_, ph := s.serve(0, "")
	alice := onHost(t, "pamtester", "sshd", "alice", "authenticate")
	alice.types("Password:", testPassword)
	alice.types("Enter your verification code.", totp("alice", 0))
	alice.ends(true)
	bob := onHost(t, "pamtester", "sshd", "bob", "authenticate")
	bob.types("Password:", testPassword)
	ph.approve()
	bob.ends(true)
}

// startOcserv starts ocserv with the files of a section and what every site has of its own.
func startOcserv(t *testing.T) {
	t.Helper()
	certify(t, "/etc/ocserv/cert.pem", "/etc/ocserv/key.pem", "/etc/ocserv/ca.pem", "localhost", "127.0.0.1")
	appendEtc(t, "/etc/ocserv/ocserv.conf", `
tcp-port = 4443
listen-host = 127.0.0.1
run-as-user = nobody
run-as-group = daemon
socket-file = /run/ocserv-socket
server-cert = /etc/ocserv/cert.pem
server-key = /etc/ocserv/key.pem
device = vpns
ipv4-network = 198.51.100.0/24
isolate-workers = false
`)
	onHost(t, "ocserv", "-f", "-c", "/etc/ocserv/ocserv.conf").shows("listening (TCP) on 127.0.0.1:4443")
}

// openConnect begins a login at ocserv: the password is typed.
func openConnect(t *testing.T, user string) *pamSession {
	t.Helper()
	c := onHost(t, "openconnect", "--authenticate", "--non-inter", "--passwd-on-stdin", "--user="+user, "--cafile=/etc/ocserv/ca.pem", "https://127.0.0.1:4443")
	c.types("", testPassword)
	return c
}

// startFreeRADIUS starts FreeRADIUS with the files of docs/proxies.md, and with more over them.
func startFreeRADIUS(t *testing.T, more func()) {
	t.Helper()
	sites, err := filepath.Glob("/etc/freeradius/3.0/sites-enabled/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, site := range sites {
		if err := os.Remove(site); err != nil {
			t.Fatal(err)
		}
	}
	openSection(t, "proxies.md", "FreeRADIUS").install(0)
	more()
	certs := "/etc/freeradius/3.0/certs/"
	certify(t, certs+"radmatch.pem", certs+"radmatch.key", certs+"radmatch-ca.pem", "radius.example.org")
	server := onHost(t, "freeradius", "-X")
	server.shows("Ready to process requests")
	t.Cleanup(func() {
		if t.Failed() {
			_, shown, _ := strings.Cut(server.shown.String(), "Ready to process requests")
			t.Logf("FreeRADIUS:\n%s", shown)
		}
	})
}

// nasOcserv: while bob is asked, alice signs in.
func nasOcserv(t *testing.T) {
	s := openSection(t, "clients-servers.md", "ocserv")
	s.install(0)
	startOcserv(t)
	p, ph := s.serve(0, "")
	bob := openConnect(t, "bob")
	bob.shows("Approve the request on your device, then press OK")
	alice := openConnect(t, "alice")
	alice.types("Enter your verification code.", totp("alice", 0))
	alice.ends(true)
	ph.approve()
	p.await("server.log", `"user":"bob"`)
	bob.types("", "")
	bob.ends(true)
}

// openVPN starts a server of OpenVPN with the files of the section, and returns
// what connects a client.
func openVPN(t *testing.T) (connect func(user, passcode string) *pamSession) {
	certify(t, "/etc/openvpn/cert.pem", "/etc/openvpn/key.pem", "/etc/openvpn/ca.pem", "localhost")
	writeEtc(t, "/etc/openvpn/server.conf", `server 198.51.100.0 255.255.255.0
dev tun
topology subnet
local 127.0.0.1
ca /etc/openvpn/ca.pem
cert /etc/openvpn/cert.pem
key /etc/openvpn/key.pem
dh none
verify-client-cert none
username-as-common-name
duplicate-cn
verb 4
config /etc/openvpn/server/auth.conf
`)
	onHost(t, "openvpn", "--config", "/etc/openvpn/server.conf").shows("Initialization Sequence Completed")
	return func(user, passcode string) *pamSession {
		// What the client makes of password and passcode with static-challenge.
		encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
		file := filepath.Join(t.TempDir(), "auth")
		writeEtc(t, file, fmt.Sprintf("%s\nSCRV1:%s:%s\n", user, encode(testPassword), encode(passcode)))
		return onHost(t, "openvpn", "--client", "--dev", "tun", "--ifconfig-noexec", "--route-noexec", "--nobind", "--remote", "127.0.0.1",
			"--ca", "/etc/openvpn/ca.pem", "--auth-user-pass", file, "--hand-window", "90", "--verb", "4")
	}
}

// nasOpenVPNByPAM: while bob is asked, alice signs in.
func nasOpenVPNByPAM(t *testing.T) {
	s := openSection(t, "clients-servers.md", "openvpn")
	s.install(0)
	_, ph := s.serve(0, "")
	connect := openVPN(t)
	bob := connect("bob", "")
	v := ph.prompt()
	alice := connect("alice", totp("alice", 0))
	alice.shows("Initialization Sequence Completed")
	ph.decide(v, "approve", "")
	bob.shows("Initialization Sequence Completed")
	connect("alice", "000000").shows("AUTH_FAILED")
}

func nasOpenVPNByPlugin(t *testing.T) {
	s := openSection(t, "clients-servers.md", "openvpn")
	s.install(1)
	_, ph := s.serve(1, "")
	connect := openVPN(t)
	connect("alice", totp("alice", 0)).shows("Initialization Sequence Completed")
	bob := connect("bob", "")
	ph.approve()
	bob.shows("Initialization Sequence Completed")
	connect("alice", "000000").shows("AUTH_FAILED")
}

// strongSwanClient connects as $1 with the password $2, from a host of its own
// (10.91.0.2) to the gateway at 10.91.0.1.
const strongSwanClient = `set -e
ip link add gw type veth peer name me
unshare --net --mount --propagation private sh -c '
while ! ip link show me >/dev/null 2>&1; do sleep 0.05; done
ip link set lo up; ip address add 10.91.0.2/24 dev me; ip link set me up
mkdir /run/own; mount -t tmpfs none /run/own; cp -a /etc /run/own/etc; mount --bind /run/own/etc /etc; mount -t tmpfs none /run
rm /etc/strongswan.d/charon/eap-radius.conf
cat >/etc/ipsec.conf <<END
conn x
  keyexchange=ikev1
  left=10.91.0.2
  leftid=@me
  leftauth=psk
  leftauth2=xauth
  xauth_identity=$1
  leftsourceip=%config
  right=10.91.0.1
  rightid=@gw
  rightauth=psk
  auto=start
END
printf "@me @gw : PSK \"psk\"\n%s : XAUTH \"%s\"\n" "$1" "$2" >/etc/ipsec.secrets
exec ipsec start --nofork' sh "$1" "$2" &
ip address add 10.91.0.1/24 dev gw; ip link set gw up
ip link set me netns $!
wait
`

func nasStrongSwan(t *testing.T) {
	s := openSection(t, "clients-servers.md", "strongswan")
	s.install(0)
	writeEtc(t, "/etc/ipsec.conf", `conn x
  keyexchange=ikev1
  left=10.91.0.1
  leftid=@gw
  leftauth=psk
  right=%any
  rightauth=psk
  rightauth2=xauth-radius
  rightsourceip=198.51.100.0/24
  auto=add
`)
	writeEtc(t, "/etc/ipsec.secrets", "@gw %any : PSK \"psk\"\n")
	p, _ := s.serve(0, "")
	gateway := onHost(t, "ipsec", "start", "--nofork")
	gateway.shows("charon (")
	onHost(t, "sh", "-c", strongSwanClient, "sh", "alice", testPassword+totp("alice", 0))
	gateway.shows("XAuth authentication of 'alice' successful")
	p.awaitEvent("alice", "accept default_otp", 1)
}

// nasPPPD: pppd takes the options, before it looks for PPP in the kernel, which a
// login would need.
func nasPPPD(t *testing.T) {
	s := openSection(t, "clients-servers.md", "pppd")
	s.install(0)
	out, _ := exec.CommandContext(t.Context(), needPeer(t, "pppd"), "dryrun", "notty", "noauth", "file", "/etc/ppp/options.radius").CombinedOutput()
	if text := string(out); !strings.Contains(text, "RADIUS plugin initialized.") || strings.Contains(text, "In file ") {
		t.Errorf("%s; want \"RADIUS plugin initialized.\" in it, no \"In file \" in it", out)
	}
}

func nasFreeRADIUS(t *testing.T) {
	s := openSection(t, "proxies.md", "FreeRADIUS")
	p, ph := s.serve(0, ", append: delimiter")
	startFreeRADIUS(t, func() {})
	via(t, "192.0.2.20", "alice", testPassword).shows("Enter your verification code.")
	via(t, "192.0.2.20", "alice", testPassword+","+totp("alice", 0)).shows("Received Access-Accept")
	for inside, user := range map[string]string{"eap=TTLS\nphase2=\"auth=PAP\"": "alice", "eap=PEAP\nphase2=\"auth=MSCHAPV2\"": "bob"} {
		password := testPassword
		if user == "alice" {
			password += "," + totp("alice", 1)
		}
		network := filepath.Join(t.TempDir(), "network")
		writeEtc(t, network, fmt.Sprintf("network={\nkey_mgmt=WPA-EAP\n%s\nidentity=%q\nanonymous_identity=\"anonymous\"\npassword=%q\nca_cert=%q\n}\n",
			inside, user, password, "/etc/freeradius/3.0/certs/radmatch-ca.pem"))
		station := onHost(t, "eapol_test", "-c", network, "-a", "192.0.2.20", "-A", "192.0.2.1", "-s", nasSecret, "-t", "30")
		if user == "bob" {
			ph.approve()
		}
		station.shows("MPPE keys OK: 1  mismatch: 0\nSUCCESS")
	}
	p.awaitEvent("bob", "accept approve_deny", 1)
}

// via is one request by radclient, from 192.0.2.1 to a proxy.
func via(t *testing.T, proxy, user, password string) *pamSession {
	t.Helper()
	file := filepath.Join(t.TempDir(), "request")
	writeEtc(t, file, fmt.Sprintf("Packet-Src-IP-Address = 192.0.2.1\nUser-Name = %q\nUser-Password = %q\nMessage-Authenticator = 0x00\n", user, password))
	return startSession(t, exec.Command("stdbuf", "-oL", needPeer(t, "radclient"), "-x", "-r", "1", "-t", "30", "-f", file, proxy+":1812", "auth", nasSecret))
}

// nasRadsecproxy: over UDP, and over TLS from a second radsecproxy.
func nasRadsecproxy(t *testing.T) {
	s := openSection(t, "proxies.md", "radsecproxy")
	s.install(0)
	dir := "/etc/radsecproxy/"
	certify(t, dir+"cert.pem", dir+"key.pem", dir+"ca.pem", "radsec.example.org", "192.0.2.20", "192.0.2.30")
	writeEtc(t, dir+"branch.conf", nasText(`ListenUDP 192.0.2.30:1812
SourceTLS 192.0.2.30
tls default {
    CACertificateFile   /etc/radsecproxy/ca.pem
    CertificateFile     /etc/radsecproxy/cert.pem
    CertificateKeyFile  /etc/radsecproxy/key.pem
}
client nas {
    host 192.0.2.1
    type udp
    secret SECRET-OF-THE-DEVICE
}
server centre {
    host 192.0.2.20
    type tls
}
realm * {
    server centre
}
`))
	_, ph := s.serve(0, ", append: delimiter")
	centre := onHost(t, "radsecproxy", "-f", "-d", "2", "-c", "/etc/radsecproxy.conf")
	centre.shows("listening for tls")
	branch := onHost(t, "radsecproxy", "-f", "-d", "2", "-c", dir+"branch.conf")
	branch.shows("TLS connection to centre")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("centre:\n%s\nbranch:\n%s", centre.shown, branch.shown)
		}
	})
	via(t, "192.0.2.20", "alice", testPassword).shows("Enter your verification code.")
	bob := via(t, "192.0.2.30", "bob", testPassword)
	ph.approve()
	bob.shows("Received Access-Accept")
}
