package main

import (
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa/push"
)

// pageSite has a VPN that shows the number in its prompt, and one that only waits.
const pageSite = siteHead + `clients:
  - {name: vpn, addresses: [127.0.0.1], secret: ` + testSecret + `}
  - {name: portal, addresses: [127.0.0.2], secret: ` + testSecret + `, number_in_prompt: true}
mfa: {reject_delay: 500ms, override_number_matching_with_otp: false}
`

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
// what becomes of the login once the person has pressed OK there.
func (p *serverProcess) number(attributes ...string) (string, <-chan string) {
	p.t.Helper()
	answer := p.radclient("127.0.0.2", attributes...)
	shown := regexp.MustCompile(`Reply-Message = "Type (\d\d)`).FindStringSubmatch(answer)
	state := regexp.MustCompile(`State = (0x[0-9a-f]+)`).FindStringSubmatch(answer)
	if shown == nil || state == nil {
		p.t.Fatalf("no number in %q", answer)
	}
	return shown[1], p.login("127.0.0.2", append(attributes, "State = "+state[1])...)
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

// TestPage is a person with the page in a real Chromium, before the real program
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

// TestPageOwn: a person sees the own sign-ins and devices, names and removes them.
func TestPageOwn(t *testing.T) {
	t.Parallel()
	p := startServer(t, pageSite)
	b := startBrowser(t)
	page := b.enrolled(t, p, "alice", "phone")
	answer := p.login("127.0.0.1", alice, `Calling-Station-Id = "198.51.100.7"`)
	page.click("Approve")
	gets(t, answer, "Access-Accept")
	lost := p.enroll("alice")
	gets(t, p.login("127.0.0.1", `User-Name = "alice"`, `User-Password = "wrong"`), "Access-Reject")
	_, answer = p.number(alice, `Calling-Station-Id = "192.0.2.14"`)
	lost.decide(lost.prompt(), push.ActionDeny, "")
	gets(t, answer, "Access-Reject")
	p.awaitEvent("alice", "reject push_denied", 1)
	page.click("History")
	page.sees("Signed in · vpn")
	page.sees("Approved on a device: phone")
	page.sees("from 198.51.100.7")
	page.sees("Rejected · portal")
	page.sees("Denied on a device: alice's")
	page.until("!document.body.innerText.includes('Wrong password')") // a stranger's, perhaps

	page.click("Devices")
	page.sees("this device")
	page.click("Rename phone")
	page.enter("New name", "Alice's new phone")
	page.click("Save")
	page.until(control("Rename Alice’s new phone") + " || " + control("Rename Alice's new phone"))
	if out := p.cli("device", "list", "alice"); !strings.Contains(out, "Alice's new phone") {
		t.Errorf("not renamed:\n%s", out)
	}
	page.click("Remove alice's")
	page.sees("Remove “alice's”?")
	page.click("Cancel")
	page.click("Remove alice's")
	page.click("Remove")
	page.until("!(" + control("Remove alice's") + ")")
	if _, err := lost.Prompts(t.Context()); err == nil {
		t.Error("the lost device can still ask")
	}
	page.click("Remove Alice's new phone")
	page.sees("This is the device in your hands.")
	page.click("Remove")
	page.sees("This device is no longer registered.")
	if code, out, _ := p.run("device", "list", "alice"); strings.Contains(out, "phone") {
		t.Errorf("exit %d\n%s", code, out)
	}
	page.do("Page.reload", nil)
	page.sees("Ask your administrator for an invitation") // the key is gone
}

// TestPageNotifications: what a locked phone shows says that something waits, and
// nothing of it. It is taken back when nothing waits any more.
func TestPageNotifications(t *testing.T) {
	t.Parallel()
	p := startServer(t, pageSite)
	b := startBrowser(t)
	page := b.enrolled(t, p, "alice", "phone")
	b.must("", "Browser.grantPermissions", object{"browserContextId": page.context, "permissions": []string{"notifications"}}, nil)
	const shown = "navigator.serviceWorker.ready.then((r) => r.getNotifications()).then((all) => JSON.stringify(all.map((n) => [n.title, n.body, n.actions?.length ?? 0])))"
	notices := func(want string) {
		t.Helper()
		page.until(shown + ".then((got) => got === " + strconv.Quote(want) + ")")
	}
	notices("[]")
	page.push(`{"id": "7f3c9a", "client": "<b>vpn</b>", "approve": true}`)
	notices(`[["Sign-in request","Open to answer.",0]]`)
	page.push("")
	page.push("not JSON")
	notices(`[["Sign-in request","Open to answer.",0]]`) // one for all that waits
	answer := p.login("127.0.0.1", alice)
	page.click("Approve")
	gets(t, answer, "Access-Accept")
	notices("[]")
}

// TestPageCode: the code that a sign-in may want after an approval.
func TestPageCode(t *testing.T) {
	t.Parallel()
	p := startServer(t, pageSite)
	page := startBrowser(t).enrolled(t, p, "alice", "phone")
	if err := page.eval(`(() => { const real = fetch; window.fetch = async (target, how) => { const answer = await real(target, how);
		return target.endsWith('/decision') ? Response.json({...await answer.json(), code: '482913',
			code_expires: new Date(Date.now() + 4000).toISOString()}) : answer; }; })()`, nil); err != nil {
		t.Fatal(err)
	}
	answer := p.login("127.0.0.1", alice)
	page.click("Approve")
	gets(t, answer, "Access-Accept")
	page.sees("Type this code where you sign in")
	page.until("document.querySelector('.code').innerText === '482913'")
	page.sees("The code has expired.")
	page.until("!document.body.innerText.includes('482913')")
}

// TestPagePasskey: a passkey with user verification confirms each approval.
func TestPagePasskey(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	site := strings.Replace(pageSite, `web: "127.0.0.1:0"`, `web: "127.0.0.1:`+port+`"`, 1)
	p := startServer(t, site+"web: {public_url: \"http://localhost:"+port+"\"}\n")
	b := startBrowser(t)
	page := b.open(t, onPhone)
	verified := page.authenticator()
	page.visit(p.link("alice"))
	page.click("Add this device")
	page.sees("Confirm with fingerprint, face or PIN")
	page.click("Set up")
	page.until("!document.getElementById('setup').innerText.includes('fingerprint')")

	answer := p.login("127.0.0.1", alice, `Calling-Station-Id = "198.51.100.7"`)
	page.click("Approve")
	gets(t, answer, "Access-Accept")
	page.click("Done")

	number, answer := p.number(alice, `Calling-Station-Id = "198.51.100.8"`)
	page.enter("Type the number shown where you sign in", number)
	verified(false)
	page.click("Approve")
	page.sees("Not confirmed: nothing was sent. Try again.")
	verified(true)
	page.click("Approve")
	gets(t, answer, "Access-Accept")
	page.click("Done")

	// Who has the key of the device and not the passkey approves nothing, but can deny.
	if err := page.eval(`new Promise((resolve) => { indexedDB.open('radmatch').onsuccess = (e) => {
		const store = e.target.result.transaction('device', 'readwrite').objectStore('device');
		store.get('this').onsuccess = (e) => { const {passkey, ...rest} = e.target.result; store.put(rest, 'this').onsuccess = () => resolve(); };
	}; })`, nil); err != nil {
		t.Fatal(err)
	}
	page.do("Page.reload", nil)
	page.sees("Connected")
	answer = p.login("127.0.0.1", alice, `Calling-Station-Id = "198.51.100.9"`)
	page.click("Approve")
	page.sees("needs the passkey that it was set up with")
	page.click("Deny")
	gets(t, answer, "Access-Reject")

	// Where every device needs one, a request says so until there is one.
	p.write("radmatch.yaml", site+"web: {public_url: \"http://localhost:"+port+"\", passkeys: required}\n")
	p.stop()
	p.start()
	other := b.enrolled(t, p, "bob", "bob's")
	other.authenticator()
	other.do("Page.reload", nil)
	other.sees("Confirm with fingerprint, face or PIN")
	answer = p.login("127.0.0.1", `User-Name = "bob"`, withPassword)
	other.sees("Approvals need a passkey here")
	other.until("!(" + control("Approve") + ")")
	other.click("Set up")
	other.click("Approve")
	gets(t, answer, "Access-Accept")
}

// authenticator gives the tab a platform authenticator. What it returns says
// whether the person shows fingerprint, face or PIN.
func (p *tab) authenticator() (verified func(bool)) {
	p.t.Helper()
	p.do("WebAuthn.enable", nil)
	var made struct{ AuthenticatorID string }
	p.b.must(p.session, "WebAuthn.addVirtualAuthenticator", object{"options": object{"protocol": "ctap2", "transport": "internal",
		"hasResidentKey": true, "hasUserVerification": true, "isUserVerified": true, "automaticPresenceSimulation": true}}, &made)
	return func(yes bool) {
		p.t.Helper()
		p.do("WebAuthn.setUserVerified", object{"authenticatorId": made.AuthenticatorID, "isUserVerified": yes})
	}
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
		if there {
			return
		}
	}
	p.t.Fatalf("the Tab key does not reach %q", name)
}

// TestPageEnrolment: what a person sees of invitations that do not work.
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
		t.Errorf("kept: %+v", kept)
	}

	second := b.open(t, onPhone)
	second.visit(link)
	second.click("Add this device")
	second.sees("was used, or has expired")
	second.visit(strings.TrimSuffix(link, "enroll"+link[strings.Index(link, "#"):]))
	second.sees("Ask your administrator for an invitation")
	second.enter("Invitation link", "https://elsewhere.example/enroll#ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	second.click("Continue")
	second.sees("This invitation is for elsewhere.example.")
	second.enter("Invitation link", "anything")
	second.click("Continue")
	second.sees("This is no invitation link.")
	second.enter("Invitation link", p.link("bob"))
	second.click("Continue")
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

// TestPageTexts: what strangers write into a request is shown as text, and the
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
		t.Error("the page takes markup from a text")
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
	if code != exitOK {
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
	page.click("Deny") // which reaches nobody, and can be tried again
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

// TestPageIsUsable: by who uses a screen reader, a small phone or a large screen,
// light or dark.
func TestPageIsUsable(t *testing.T) {
	t.Parallel()
	p := startServer(t, pageSite)
	b := startBrowser(t)
	page := b.open(t, onPhone)
	page.visit(p.link("alice"))
	page.until(control("Add this device"))
	page.usable("enroll")
	page.enter("Name of this device", strings.Repeat("W", 64))
	page.click("Add this device")
	page.sees("Connected")
	page.usable("nothing waits")
	var offered struct{ InstallabilityErrors []struct{ ErrorID string } }
	page.b.must(page.session, "Page.getInstallabilityErrors", nil, &offered)
	for _, e := range offered.InstallabilityErrors {
		if e.ErrorID != "in-incognito" { // as the profiles of the tests are
			t.Errorf("the page cannot be installed: %s", e.ErrorID)
		}
	}
	_, answer := p.number(alice, fmt.Sprintf("Calling-Station-Id = %q", strings.Repeat("MACHINE", 20)))
	page.until(control("Deny"))
	page.usable("request")
	page.click("It wasn’t me")
	page.usable("dialog")
	page.click("Cancel")
	page.click("Deny")
	gets(t, answer, "Access-Reject")
	page.sees("The sign-in was rejected.")
	page.usable("result")
	for _, name := range []string{"History", "Devices"} {
		page.click(name)
		page.until("!document.querySelector('main > section:not([hidden]) [aria-live]:empty')")
		page.usable(name)
	}
}

// usable demands that the page is as wide as the display, that what a person can
// use has a name, and that its texts stand out from what they stand on.
func (p *tab) usable(what string) {
	p.t.Helper()
	for _, s := range []display{{width: 360, height: 740, scale: 1, phone: true}, {width: 1280, height: 800, scale: 1, dark: true},
		{width: 320, height: 560, scale: 1, phone: true, dark: true}} {
		p.look(s)
		var wide int
		if err := p.eval("document.scrollingElement.scrollWidth", &wide); err != nil || wide > s.width {
			p.t.Errorf("%s: %d wide on a display of %d (%v)", what, wide, s.width, err)
		}
		var faint []string
		if err := p.eval(faintTexts, &faint); err != nil || len(faint) > 0 {
			p.t.Errorf("%s, dark %v: hard to read: %q (%v)", what, s.dark, faint, err)
		}
	}
	p.look(onPhone)
	var tree struct {
		Nodes []struct {
			Ignored    bool
			Role, Name struct{ Value any }
		}
	}
	p.b.must(p.session, "Accessibility.getFullAXTree", nil, &tree)
	landmarks := map[any]int{}
	for _, n := range tree.Nodes {
		if n.Ignored {
			continue
		}
		landmarks[n.Role.Value]++
		switch n.Role.Value {
		case "button", "link", "textbox", "dialog", "article", "navigation", "region":
			if n.Name.Value == "" || n.Name.Value == nil {
				p.t.Errorf("%s: a %s without a name", what, n.Role.Value)
			}
		}
	}
	if landmarks["main"]+landmarks["dialog"] == 0 {
		p.t.Errorf("%s: no main landmark: %v", what, landmarks)
	}
}

// faintTexts finds texts with less contrast than WCAG 2.2 §1.4.3 demands.
const faintTexts = `(() => {
	const rgb = (c) => c.match(/[\d.]+/g).map(Number);
	const light = (c) => rgb(c).slice(0, 3).map((v) => v / 255).map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
	const ground = (e) => { for (; e; e = e.parentElement) {
		const c = getComputedStyle(e).backgroundColor; if ((rgb(c)[3] ?? 1) === 1) return c; } return 'rgb(255, 255, 255)'; };
	const faint = [];
	for (const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); walk.nextNode();) {
		const e = walk.currentNode.parentElement, text = walk.currentNode.data.trim();
		if (!text || !e.checkVisibility() || e.closest('noscript, .hidden, :disabled')) continue;
		const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
		if ((a + .05) / (b + .05) < 4.5) faint.push(text + ' ' + ((a + .05) / (b + .05)).toFixed(2));
	}
	return faint;
})()`
