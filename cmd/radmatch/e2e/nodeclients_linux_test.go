package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
)

// dialog is a login through a client that has both nodes in its list.
type dialog interface {
	shows(text string)
	types(prompt, line string)
	ends(in bool)
}

// listedClient is a client with the first two nodes in its list, and its users.
type listedClient struct {
	name     string
	begin    func(user string) dialog // the password is typed
	coder    string                   // has a token
	owner    string                   // has the device
	phone    *testPhone
	unsigned bool // its requests join no prompt
	sticks   bool // it answers a challenge where it came from, or not at all
}

// TestNodeDiesAtClients has real clients with two nodes in their lists, as docs/cluster-clients.md
// shows them, and devices at a third node. The first node dies in the middle of logins, and
// stays away.
func TestNodeDiesAtClients(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"pamtester", "ocserv", "openconnect", "freeradius", "radclient"} {
		needPeer(t, program)
	}
	passwordtest.InHost(t, func(t *testing.T) {
		passwordtest.OwnEtc(t)
		clients, nodes := listedSite(t)
		var codes, pushes []dialog
		for _, c := range clients {
			d := c.begin(c.coder)
			d.shows("Enter your verification code.")
			codes = append(codes, d)
		}
		for _, c := range clients {
			pushes = append(pushes, c.begin(c.owner))
		}
		var shown []device.PromptView
		for _, c := range clients {
			shown = append(shown, c.phone.prompt())
		}
		nodes[0].kill()
		killed := time.Now()
		done := func(c *listedClient, what string) {
			t.Logf("%s: %s %s after the first node died", c.name, what, time.Since(killed).Round(100*time.Millisecond))
		}
		for i, c := range clients {
			codes[i].types("", totp(c.coder, 0))
			if !c.unsigned { // the request that comes to the other node claims it
				c.phone.decide(shown[i], device.ActionApprove, "")
			}
		}
		for i, c := range clients {
			if c.unsigned {
				pushes[i].shows("Another request is open on your device. Answer it, then press OK.")
				c.phone.decide(shown[i], device.ActionApprove, "")
			}
		}
		for i, c := range clients {
			if !c.unsigned {
				pushes[i].ends(true)
				done(c, "a device had let the user in")
			}
			codes[i].ends(!c.sticks)
			done(c, "the code had been answered")
		}
		for i, c := range clients {
			if c.unsigned {
				c.insists(pushes[i])
				pushes[i].ends(true)
				done(c, "a device had let the user in, in the second prompt")
			}
		}
		again := time.Now() // the first node is away before the first packet
		for i, c := range clients {
			codes[i] = c.begin(c.coder)
		}
		for i, c := range clients {
			codes[i].types("Enter your verification code.", totp(c.coder, 1))
		}
		for i, c := range clients {
			codes[i].ends(true)
			t.Logf("%s: a login without the first node took at most %s", c.name, time.Since(again).Round(100*time.Millisecond))
		}
	})
}

// insists presses OK until the login has a prompt of its own, and approves that. Until then
// the prompt of the node that died is in the way: no unsigned request can claim its approval.
func (c *listedClient) insists(d dialog) {
	press := time.NewTicker(2 * time.Second)
	defer press.Stop()
	for {
		select {
		case <-press.C:
			d.types("", "")
		case n := <-c.phone.notices:
			if n.New != nil {
				c.phone.decide(*n.New, device.ActionApprove, "")
				return
			}
		}
	}
}

// listedSite starts three nodes, and prepares clients that have the first two in their lists.
func listedSite(t *testing.T) (clients []*listedClient, nodes []*serverProcess) {
	t.Helper()
	for i := range 3 {
		runHost(t, "ip", "address", "add", fmt.Sprintf("192.0.2.%d/32", 11+i), "dev", "lo")
	}
	for _, address := range []string{"192.0.2.1", "192.0.2.20", "192.0.2.21", "192.0.2.22"} {
		runHost(t, "ip", "address", "add", address+"/32", "dev", "lo")
	}
	section := openSection(t, "cluster-clients.md", "Clients that were tried")
	nodes = startListed(t, section)
	t.Cleanup(func() {
		if t.Failed() {
			for _, n := range nodes {
				t.Log(n.log())
			}
		}
	})
	section.install(0)
	section.install(1)
	startOcserv(t)
	startFreeRADIUS(t, func() {
		section.install(2)
		runHost(t, "sed", "-i", "s/^cleanup_delay.*/cleanup_delay = 0/", "/etc/freeradius/3.0/radiusd.conf")
	})
	clients = []*listedClient{
		{name: "radclient", begin: func(user string) dialog {
			return listRadclient(t, user, []string{"192.0.2.11:1812", "192.0.2.12:1812"}, testSecret, 2, 2)
		}},
		{name: "pam_radius", unsigned: true, sticks: true, begin: func(user string) dialog {
			s := onHost(t, "pamtester", "sshd", user, "authenticate")
			s.types("Password:", testPassword)
			return s
		}},
		{name: "ocserv", unsigned: true, begin: func(user string) dialog { return openConnect(t, user) }},
		{name: "FreeRADIUS", begin: func(user string) dialog {
			return listRadclient(t, user, []string{"192.0.2.20:1812"}, nasSecret, 5, 6)
		}},
	}
	for i, c := range clients {
		c.coder, c.owner = fmt.Sprintf("coder%02d", i), fmt.Sprintf("owner%02d", i)
		c.phone = nodes[2].enroll(c.owner)
		nodes[2].cli("user", "unblock", c.owner) // returns when all nodes know of the device
	}
	return clients, nodes
}

// startListed starts three nodes with the clients that the section says.
func startListed(t *testing.T, section *nasSection) (nodes []*serverProcess) {
	t.Helper()
	pg := postgrestest.Start(t)
	url, keys := pg.URL(pg.NewDatabase(t)), filepath.Join(t.TempDir(), "seal.key")
	for i := range 3 {
		p := newServer(t, fmt.Sprintf(`listen: {radius: ["192.0.2.%d:1812"], web: "127.0.0.1:0"}
data_dir: data
store: {type: postgres, url: "%s", standby: none}
seal: {key_file: %s}
node: vpn-%c
primaries: [{name: local, type: file, path: users.yaml}]
clients:
  - {name: radclient, addresses: [192.0.2.1], secret: %[5]s}
  - {name: pam, addresses: [192.0.2.21], secret: %[5]s, %[6]s}
  - {name: ocserv, addresses: [192.0.2.22], secret: %[5]s, %[7]s}
  - {name: proxy, addresses: [192.0.2.20], secret: %[5]s, %[8]s}
mfa: {reject_delay: 500ms, push_timeout: 16s}
`, 11+i, url, keys, 'a'+i, testSecret, section.client(0), section.client(1), section.client(2)))
		p.addUsers("coder", 4)
		p.addUsers("owner", 4)
		if i == 0 {
			p.addTOTP("coder00", "coder01", "coder02", "coder03")
		}
		p.start()
		nodes = append(nodes, p)
	}
	return nodes
}

// radclientDialog is a login by the real radclient, which is called for one server after the
// other until one answers.
type radclientDialog struct {
	t       *testing.T
	user    string
	servers []string
	secret  string
	every   int    // seconds between two tries at one server
	tries   int    // there
	state   string // as an attribute
	answer  chan string
}

// listRadclient begins a login from 192.0.2.1: the password is sent.
func listRadclient(t *testing.T, user string, servers []string, secret string, every, tries int) dialog {
	d := &radclientDialog{t: t, user: user, servers: servers, secret: secret, every: every, tries: tries, answer: make(chan string, 1)}
	d.send(testPassword)
	return d
}

func (d *radclientDialog) send(password string) {
	request := []string{
		fmt.Sprintf("User-Name = %q", d.user), fmt.Sprintf("User-Password = %q", password), `Calling-Station-Id = "198.51.100.7"`,
		"Message-Authenticator = 0x00", "Packet-Src-IP-Address = 192.0.2.1",
	}
	if d.state != "" {
		request = append(request, d.state)
	}
	program := needPeer(d.t, "radclient")
	go func() {
		for _, server := range d.servers {
			cmd := exec.CommandContext(d.t.Context(), program, "-x", "-r", fmt.Sprint(d.tries), "-t", fmt.Sprint(d.every), server, "auth", d.secret)
			cmd.Stdin = strings.NewReader(strings.Join(request, "\n") + "\n")
			out, _ := cmd.CombinedOutput() // it fails where the login does
			if _, answer, ok := strings.Cut(string(out), "Received "); ok {
				d.answer <- answer
				return
			}
		}
		d.answer <- "no answer"
	}()
}

func (d *radclientDialog) got(kind, text string) string {
	d.t.Helper()
	answer := <-d.answer
	if !strings.HasPrefix(answer, kind) || !strings.Contains(answer, text) {
		d.t.Fatalf("radclient of %s got %q, want %s with %q", d.user, answer, kind, text)
	}
	return answer
}

func (d *radclientDialog) shows(text string) {
	d.t.Helper()
	d.state = stateOf(d.t, d.got("Access-Challenge", text))
}

func (d *radclientDialog) types(prompt, line string) {
	d.t.Helper()
	if prompt != "" {
		d.shows(prompt)
	}
	d.send(line)
}

func (d *radclientDialog) ends(in bool) {
	d.t.Helper()
	d.got(map[bool]string{true: "Access-Accept", false: "Access-Reject"}[in], "")
}
