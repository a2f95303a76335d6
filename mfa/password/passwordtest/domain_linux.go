package passwordtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

// insideDomain tells the process of InDomain that it is the inner one.
const insideDomain = "RADMATCH_TEST_DOMAIN"

// domainAddress is the domain controller's: Samba resolves no name to a loopback
// address. It is of those that documentation has (RFC 5737), on the loopback
// device of a network namespace of its own.
const domainAddress = "192.0.2.10"

// InDomain runs test on a host of a new Active Directory domain, which test may
// do with as it likes. The test program runs itself once more for that, in
// namespaces of its own: there the well-known ports are free, /run and the files
// of /etc that matter are other ones, and all that was started ends with it. It
// takes some ten seconds. t must be a test of the top level that does nothing else.
func InDomain(t *testing.T, test func(t *testing.T, d *Domain)) {
	t.Helper()
	if os.Getenv(insideDomain) != "" {
		test(t, openDomain(t))
		return
	}
	for _, program := range []string{"samba", "samba-tool", "winbindd", "ntlm_auth", "net", "wbinfo", "ldapmodify", "ip", "unshare", "mount"} {
		if _, err := exec.LookPath(program); err != nil {
			mustRun(t, program+" is missing: run testdata/install-peers as root")
		}
	}
	if _, err := os.Stat("/usr/share/samba/setup/provision.ldif"); err != nil {
		mustRun(t, "what samba-tool provisions with is missing: run testdata/install-peers as root")
	}
	if os.Geteuid() != 0 {
		mustRun(t, "a domain of its own needs root")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.v", "-test.run=^"+regexp.QuoteMeta(t.Name())+"$")
	cmd.Env = append(os.Environ(), insideDomain+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in the domain: %v\n%s", err, out)
	}
	if !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("the test did not run in the domain:\n%s", out)
	}
	t.Logf("in the domain:\n%s", out)
}

// mustRun skips the test, but with CI=true it fails it.
func mustRun(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s (with CI=true no test may skip)", reason)
	}
	t.Skip(reason)
}

// openDomain makes the host and the domain in it.
func openDomain(t *testing.T) *Domain {
	t.Helper()
	d := &Domain{
		Dir: "/mnt", Host: "dc1.ad.example.org", Realm: "AD.EXAMPLE.ORG", NetBIOS: "AD",
		BaseDN: "DC=ad,DC=example,DC=org", Password: "Right.horse1",
	}
	d.CAFile = d.path("ca.pem")
	isolate(t, d.Dir)
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

// isolate mounts what shall be this process's own. Nobody else sees it, and it is
// gone with the process. dir has a short name: paths of Samba's sockets, of which
// only 107 octets are used, begin with it.
func isolate(t *testing.T, dir string) {
	t.Helper()
	err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	if err == nil {
		err = errors.Join(syscall.Mount("proc", "/proc", "proc", 0, ""), syscall.Mount("none", dir, "tmpfs", 0, "mode=755"))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// host makes this process's namespaces a host.
func (d *Domain) host(t *testing.T) {
	t.Helper()
	d.write(t, "hosts", fmt.Sprintf("127.0.0.1 localhost\n%s %s dc1\n", domainAddress, d.Host))
	d.write(t, "resolv.conf", "nameserver "+domainAddress+"\n")
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
	run(t, "", "ip", "link", "set", "lo", "up")
	run(t, "", "ip", "address", "add", domainAddress+"/24", "dev", "lo")
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
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return string(out)
}

// until polls what another process does: there is nothing else to wait on.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in 30 s", what)
		}
	}
}

// listens reports whether somebody accepts connections at address.
func listens(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
