package passwordtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Domain is an Active Directory domain with one domain controller (Samba's), and
// this process on a host that has joined it: its winbindd answers ntlm_auth.
type Domain struct {
	Dir      string // of everything that belongs to it
	Host     string // name of the domain controller; its LDAP, LDAPS and catalogue are on the usual ports
	CAFile   string // who signed its certificate
	Realm    string // DNS name of the domain, in capitals
	NetBIOS  string // the short name
	BaseDN   string
	Password string // of every user, and of the administrator

	dc, winbindd *exec.Cmd
}

// InDomain runs test on a host of a new Active Directory domain, by InHost. It
// takes some ten seconds. t must be a test of the top level that does nothing else.
func InDomain(t *testing.T, test func(t *testing.T, d *Domain)) {
	t.Helper()
	NeedPrograms(t, "samba", "samba-tool", "winbindd", "ntlm_auth", "net", "wbinfo", "ldapmodify")
	if _, err := os.Stat("/usr/share/samba/setup/provision.ldif"); err != nil {
		mustRun(t, "what samba-tool provisions with is missing: run testdata/install-peers as root")
	}
	InHost(t, func(t *testing.T) { test(t, openDomain(t)) })
}

// openDomain makes the host and the domain in it.
func openDomain(t *testing.T) *Domain {
	t.Helper()
	d := &Domain{
		Dir: hostDir, Host: "dc1.ad.example.org", Realm: "AD.EXAMPLE.ORG", NetBIOS: "AD",
		BaseDN: "DC=ad,DC=example,DC=org", Password: "Right.horse1",
	}
	d.CAFile = d.path("ca.pem")
	d.host(t)
	d.provision(t)
	d.StartDC(t)
	d.populate(t)
	d.join(t)
	d.StartWinbind(t)
	return d
}

func (d *Domain) path(name string) string { return filepath.Join(d.Dir, name) }

func (d *Domain) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// host makes this process's namespaces a host.
func (d *Domain) host(t *testing.T) {
	t.Helper()
	d.write(t, "hosts", fmt.Sprintf("127.0.0.1 localhost\n%s %s dc1\n", HostAddress, d.Host))
	d.write(t, "resolv.conf", "nameserver "+HostAddress+"\n")
	d.write(t, "krb5.conf", "[libdefaults]\ndefault_realm = "+d.Realm+"\ndns_lookup_kdc = true\n")
	steps := []error{
		bind(d.path("resolv.conf"), "/etc/resolv.conf"), // may be a link into /run
		syscall.Mount("none", "/run", "tmpfs", 0, "mode=755"),
		os.Mkdir("/run/samba", 0o755),
		syscall.Mount("none", "/var/log/samba", "tmpfs", 0, "mode=755"), // some of Samba's programs write there whatever they are told
		bind(d.path("hosts"), "/etc/hosts"),
		syscall.Sethostname([]byte("dc1")),
		os.Setenv("KRB5_CONFIG", d.path("krb5.conf")),
		os.Setenv("LDAPTLS_CACERT", d.CAFile),
	}
	for _, err := range steps {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func bind(file, over string) error {
	if err := syscall.Mount(file, over, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s over %s: %w", file, over, err)
	}
	return nil
}

// run runs a program to its end and returns what it said.
func run(t *testing.T, stdin, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s; want no error", program, err, out)
	}
	return string(out)
}

// until polls what another process does: there is nothing else to wait on.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(120 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in 120 s", what)
		}
	}
}

// listens reports whether someone accepts connections at address.
func listens(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
