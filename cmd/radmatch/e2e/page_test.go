package e2e

import (
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
)

// pageSite has a VPN that shows the number in its prompt, and one that only waits.
const pageSite = siteHead + `clients:
  - {name: vpn, addresses: [127.0.0.1], secret: ` + testSecret + `}
  - {name: portal, addresses: [127.0.0.2], secret: ` + testSecret + `, number_in_prompt: true}
mfa: {reject_delay: 500ms, override_number_matching_with_otp: false}
`

// tokenClient hides Reply-Message: the device shows the code that its prompt wants.
const tokenClient = "  - {name: token, addresses: [127.0.0.4], secret: " + testSecret + ", number_from_device: true, shows_reply_message: false}\n"

// withPassword is what all have but a gateway's request.
const withPassword = `User-Password = "` + testPassword + `"`

// radclient sends one request with the real radclient, from an address, and
// returns what it printed of the answer.
func (p *serverProcess) radclient(from string, attributes ...string) string {
	cmd := exec.CommandContext(p.t.Context(), needPeer(p.t, "radclient"), "-x", "-r", "1", "-t", "60", p.radius[0], "auth", testSecret)
	cmd.Stdin = strings.NewReader(strings.Join(append(attributes, "Message-Authenticator = 0x00", "Packet-Src-IP-Address = "+from), "\n") + "\n")
	out, _ := cmd.CombinedOutput() // it fails where the login does
	_, answer, _ := strings.Cut(string(out), "Received ")
	return answer
}

// login signs in from an address while the test goes on.
func (p *serverProcess) login(from string, attributes ...string) <-chan string {
	answer := make(chan string, 1)
	go func() { answer <- p.radclient(from, attributes...) }()
	return answer
}

// gets demands an answer of a kind.
func gets(t testing.TB, answer <-chan string, kind string) {
	t.Helper()
	if got := <-answer; !strings.HasPrefix(got, kind) {
		t.Errorf("the client got %q, want %s", got, kind)
	}
}

// number signs in at the portal. It returns the number that the prompt shows, and
// what becomes of the login once the user has pressed OK there.
func (p *serverProcess) number(attributes ...string) (string, <-chan string) {
	p.t.Helper()
	answer := p.radclient("127.0.0.2", attributes...)
	shown := regexp.MustCompile(`Reply-Message = "Type (\d\d)`).FindStringSubmatch(answer)
	if shown == nil {
		p.t.Fatalf("no number in %q", answer)
	}
	return shown[1], p.login("127.0.0.2", append(attributes, stateOf(p.t, answer))...)
}

// challenge signs in where a prompt is the answer. It returns its State as an attribute.
func (p *serverProcess) challenge(from string, attributes ...string) string {
	p.t.Helper()
	return stateOf(p.t, p.radclient(from, attributes...))
}

func stateOf(t testing.TB, answer string) string {
	t.Helper()
	state := regexp.MustCompile(`State = 0x[0-9a-f]+`).FindString(answer)
	if state == "" {
		t.Fatalf("no challenge: %q", answer)
	}
	return state
}

// code returns what the page shows to be typed into the prompt.
func (p *tab) code() string {
	p.t.Helper()
	p.sees("Type this code where you sign in")
	var code string
	if err := p.eval("document.querySelector('.code').innerText", &code); err != nil || len(code) != 6 {
		p.t.Fatalf("code %q: got %v; want no error, 6 of them", code, err)
	}
	return code
}

// link invites a device of a user.
func (p *serverProcess) link(user string) string {
	p.t.Helper()
	_, token, _ := strings.Cut(strings.Fields(p.cli("device", "invite", user))[0], "#")
	return "http://localhost:" + p.web[strings.LastIndex(p.web, ":")+1:] + "/enroll#" + token
}

// enrolled opens a tab that is a device of the user.
func (b *browser) enrolled(t testing.TB, p *serverProcess, user, name string) *tab {
	t.Helper()
	page := b.open(t, onPhone)
	page.visit(p.link(user))
	page.enter("Name of this device", name)
	page.click("Add this device")
	page.sees("Nothing to approve")
	page.sees("Connected")
	return page
}

const alice = `User-Name = "alice", ` + withPassword

// TestPage is a user with the page in a real Chromium, before the real program
// and the real radclient.
func TestPage(t *testing.T) {
	t.Parallel()
	p := startServer(t, pageSite)
	b := startBrowser(t)
	page := b.enrolled(t, p, "alice", "Alice's phone")

	t.Run("approve", func(t *testing.T) {
		answer := p.login("127.0.0.1", alice, `Calling-Station-Id = "198.51.100.7"`)
		page.sees("Sign in to vpn?")
		page.sees("198.51.100.7")
		page.until(`/When\s+\d+:\d\d:\d\d/.test(document.querySelector('.card dl').innerText)`)
		page.until(`/^0:5\d$/.test(document.querySelector('.timer span:last-child').textContent)`)
		page.click("Approve")
		gets(t, answer, "Access-Accept")
		page.sees("The sign-in goes on.")
		page.click("Done")
		page.sees("Nothing to approve")
	})
	t.Run("deny", func(t *testing.T) {
		answer := p.login("127.0.0.1", alice, `Calling-Station-Id = "198.51.100.8"`)
		page.click("Deny")
		gets(t, answer, "Access-Reject")
		page.sees("The sign-in was rejected.")
		page.click("Done")
	})
	t.Run("number", func(t *testing.T) {
		number, answer := p.number(alice, `Calling-Station-Id = "198.51.100.9"`)
		page.click("Approve")
		page.sees("Type the number first.")
		page.enter("Type the number shown where you sign in", number)
		page.click("Approve")
		gets(t, answer, "Access-Accept")
		page.click("Done")
	})
	t.Run("wrong number", func(t *testing.T) {
		_, answer := p.number(alice, `Calling-Station-Id = "198.51.100.10"`)
		page.enter("Type the number shown where you sign in", "01") // it has no leading zero
		page.click("Approve")
		gets(t, answer, "Access-Reject")
		page.sees("Wrong number")
		page.click("Done")
	})
	t.Run("keyboard", func(t *testing.T) {
		answer := p.login("127.0.0.1", alice, `Calling-Station-Id = "198.51.100.11"`)
		page.until(control("Approve"))
		page.tabTo("Approve")
		page.press("Enter")
		gets(t, answer, "Access-Accept")
		page.until("document.activeElement.textContent === 'Approved'")
		page.tabTo("Done")
		page.press("Enter")
		page.sees("Nothing to approve")
	})
	t.Run("answered elsewhere", func(t *testing.T) {
		other := p.enroll("alice")
		answer := p.login("127.0.0.1", alice, `Calling-Station-Id = "198.51.100.12"`)
		page.sees("Sign in to vpn?")
		other.approve()
		gets(t, answer, "Access-Accept")
		page.sees("One of your devices has answered this request.")
		page.click("Done")
	})
	t.Run("joined", func(t *testing.T) {
		first := p.login("127.0.0.1", alice, `Calling-Station-Id = "198.51.100.13"`, "NAS-Port = 1")
		page.sees("Sign in to vpn?")
		second := p.login("127.0.0.1", alice, `Calling-Station-Id = "198.51.100.13"`, "NAS-Port = 2")
		page.sees("2 requests wait for this decision")
		page.click("Approve")
		gets(t, first, "Access-Accept")
		gets(t, second, "Access-Accept")
		page.click("Done")
	})
	t.Run("not me", func(t *testing.T) {
		answer := p.login("127.0.0.1", alice, `Calling-Station-Id = "198.51.100.14"`)
		page.click("It wasn’t me")
		page.sees("Report this sign-in?")
		page.press("Escape")
		page.until("!document.querySelector('dialog')")
		page.click("It wasn’t me")
		page.click("Report")
		gets(t, answer, "Access-Reject")
		page.sees("Change your password now.")
		p.awaitEvent("alice", "reject not_me", 1)
		gets(t, p.login("127.0.0.1", alice), "Access-Reject")
		p.cli("user", "unblock", "alice")
		page.click("Done")
	})
}

// tabTo moves the focus by the Tab key to the control of that name.
func (p *tab) tabTo(name string) {
	p.t.Helper()
	for range 30 {
		p.press("Tab")
		var there bool
		if err := p.eval("document.activeElement === "+control(name), &there); err != nil {
			p.t.Fatal(err)
		}
		if !there {
			continue
		}
		var seen bool
		if err := p.eval("getComputedStyle(document.activeElement).outlineStyle !== 'none'", &seen); err != nil || !seen {
			p.t.Errorf("nothing shows that %q has the focus (%v)", name, err)
		}
		return
	}
	p.t.Fatalf("the Tab key does not reach %q", name)
}

// TestPageEnrolment: what a user sees of invitations that do not work.
func TestPageEnrolment(t *testing.T) {
	t.Parallel()
	p := startServer(t, pageSite)
	b := startBrowser(t)
	link := p.link("alice")
	page := b.open(t, onPhone)
	page.visit(link)
	page.enter("Name of this device", "first")
	page.click("Add this device")
	page.sees("Nothing to approve")

	var kept struct {
		Extractable bool
		Location    string
		Exported    string
	}
	if err := page.eval(`new Promise((resolve, reject) => {
		indexedDB.open('radmatch').onsuccess = (e) => {
			e.target.result.transaction('device').objectStore('device').get('this').onsuccess = async (e) => {
				const {key} = e.target.result;
				resolve({extractable: key.extractable, location: location.pathname + location.hash,
					exported: await crypto.subtle.exportKey('pkcs8', key).then(() => 'yes', (err) => err.name)});
			};
		};
	})`, &kept); err != nil {
		t.Fatal(err)
	}
	if kept.Extractable || kept.Exported != "InvalidAccessError" || kept.Location != "/" {
		t.Errorf("kept: got %+v; want Extractable false, Exported \"InvalidAccessError\", Location \"/\"", kept)
	}

	second := b.open(t, onPhone)
	second.visit(link)
	second.sees("was used, or has expired") // at once
	second.until("!(" + control("Add this device") + ")")
	second.click("Use another invitation")
	second.sees("Ask your administrator for an invitation")
	second.enter("Invitation link", "https://elsewhere.example/enroll#ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	second.click("Continue")
	second.sees("This invitation is for elsewhere.example.")
	second.enter("Invitation link", "anything")
	second.click("Continue")
	second.sees("This is no invitation link.")
	second.enter("Invitation link", p.link("bob"))
	second.click("Continue")
	second.sees("This invitation is for bob.")
	second.enter("Name of this device", " ")
	second.click("Add this device")
	second.sees("Give the device a name")
	second.enter("Name of this device", "Bob's <b>phone</b> \u2026")
	second.click("Add this device")
	second.sees("Nothing to approve")

	// Removed by an administrator: the open page says so.
	p.cli("device", "remove", "alice", "first")
	page.sees("This device is no longer registered.")
}

// TestPageTexts: what unknown callers write into a request is shown as text, and the
// page's policy would stop it if it were not.
func TestPageTexts(t *testing.T) {
	t.Parallel()
	const evil = `<img src=x onerror=alert(1)>`
	p := newServer(t, strings.Replace(pageSite, "clients:\n", "clients:\n  - {name: rdg, addresses: [127.0.0.3], secret: "+testSecret+", profile: rdgateway}\n", 1))
	p.write("users.yaml", fmt.Sprintf("users: [{name: '%s', password: \"{NT}%s\"}]\n", evil, rightHorse))
	p.start()
	b := startBrowser(t)
	page := b.enrolled(t, p, evil, evil)
	answer := p.login("127.0.0.1", fmt.Sprintf("User-Name = %q", evil), withPassword, fmt.Sprintf("Calling-Station-Id = %q", `"><script>alert(2)</script>`))
	page.sees("Sign in to vpn?")
	page.sees(evil)
	page.sees(`claims to be "><script>alert(2)</script>`)
	page.click("Approve")
	gets(t, answer, "Access-Accept")
	answer = p.login("127.0.0.3", fmt.Sprintf("User-Name = %q", evil), "NAS-Port-Type = Virtual", "MS-Network-Access-Server-Type = Terminal-Server-Gateway",
		`MS-Machine-Name = "'><svg onload=alert(4)>"`)
	page.sees("Sign in to rdg?")
	page.sees("claims to be '><svg onload=alert(4)>")
	page.click("Deny")
	gets(t, answer, "Access-Reject")
	page.click("Devices")
	page.until("document.querySelectorAll('main img[src=x], main script, main b').length === 0")

	// The policy itself: markup from a text is refused, and so is a script in the page.
	if err := page.eval(`document.body.innerHTML = '<img src=x onerror=alert(3)>'`, nil); err == nil {
		t.Error("the page takes markup from a text: got no error; want one")
	}
	var ran bool
	if err := page.eval(`(() => { const s = document.createElement('script'); s.append('window.ran = true'); document.body.append(s); return window.ran === true; })()`, &ran); err == nil && ran {
		t.Error("got a script in the page that ran; want it refused by the policy of the page")
	}
	page.mu.Lock()
	page.problems = nil // the browser said so
	page.mu.Unlock()
}

// freePort returns a TCP port that nobody listens on now.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// TestQuickstartPage: the link that quickstart prints leads, in a browser on this
// machine, to an approved `radmatch login`.
func TestQuickstartPage(t *testing.T) {
	t.Parallel()
	p := &serverProcess{t: t, dir: t.TempDir()}
	out, code := p.output("quickstart", "--radius", "127.0.0.1:0", "--web", "127.0.0.1:"+freePort(t))
	if code != console.ExitOK {
		t.Fatal(out)
	}
	p.start()
	page := startBrowser(t).open(t, onPhone)
	page.visit(regexp.MustCompile(`(?m)^  (http://localhost\S+)$`).FindStringSubmatch(out)[1])
	page.click("Add this device")
	page.sees("Connected")
	login := p.command(nil, "login", "alice", "--server", p.radius[0])
	login.Stdin = strings.NewReader(regexp.MustCompile(`Password: (\S+)`).FindStringSubmatch(out)[1] + "\n")
	answer := make(chan string, 1)
	go func() {
		said, _ := login.CombinedOutput()
		answer <- string(said)
	}()
	page.sees("Sign in to localhost?")
	page.click("Approve")
	if said := <-answer; !strings.Contains(said, "Access-Accept") {
		t.Error(said)
	}
}

// TestPageConnection: the page finds its server again, polls where no stream gets
// through, and minds no wrong clock.
func TestPageConnection(t *testing.T) {
	t.Parallel()
	p := startServer(t, strings.Replace(pageSite, `web: "127.0.0.1:0"`, `web: "127.0.0.1:`+freePort(t)+`"`, 1))
	b := startBrowser(t)
	page := b.enrolled(t, p, "alice", "phone")
	approve := func(address string) {
		t.Helper()
		answer := p.login("127.0.0.1", alice, fmt.Sprintf("Calling-Station-Id = %q", address))
		page.click("Approve")
		gets(t, answer, "Access-Accept")
		page.click("Done")
	}

	p.login("127.0.0.1", alice)
	page.until(control("Approve"))
	p.kill()
	page.sees("No connection")
	page.click("Deny") // which reaches no server, and can be tried again
	page.sees("The server cannot be reached.")
	page.until(control("Deny"))
	p.start()
	page.sees("This request is over")
	page.click("Done")
	page.sees("Connected")
	approve("198.51.100.1")

	page.do("Network.enable", nil)
	page.do("Network.setBlockedURLs", object{"urls": []string{"*/api/v1/events"}})
	page.do("Page.reload", nil)
	page.sees("Connected (slow)")
	approve("198.51.100.2")
	page.do("Network.setBlockedURLs", object{"urls": []string{}})

	page.do("Page.addScriptToEvaluateOnNewDocument", object{"source": "const real = Date.now; Date.now = () => real() - 3600_000;"})
	page.do("Page.reload", nil)
	page.until("document.getElementById('connection').dataset.state === 'on'")
	answer := p.login("127.0.0.1", alice)
	page.until("/^0:5\\d$/.test(document.querySelector('.timer span:last-child')?.textContent)")
	page.click("Approve")
	gets(t, answer, "Access-Accept")
}
