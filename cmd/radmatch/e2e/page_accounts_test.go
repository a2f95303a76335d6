package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// another makes the tab a device of one more user.
func (p *tab) another(link, name string) {
	p.t.Helper()
	p.visit("about:blank")
	p.visit(link)
	p.enter("Name of this device", name)
	p.click("Add this device")
	p.sees("Nothing to approve")
	p.sees("Connected")
}

// kept returns what the browser keeps, by its name.
func (p *tab) kept() (records map[string]struct{ User, Device string }) {
	p.t.Helper()
	if err := p.eval(`new Promise((resolve) => { indexedDB.open('radmatch').onsuccess = (e) => {
		const records = {};
		e.target.result.transaction('device').objectStore('device').openCursor().onsuccess = ({target: {result: at}}) => {
			if (!at) return resolve(records);
			records[at.key] = {User: at.value.user, Device: at.value.device};
			at.continue();
		};
	}; })`, &records); err != nil {
		p.t.Fatal(err)
	}
	return records
}

const bob = `User-Name = "bob", ` + withPassword

// TestPageAccounts: one browser answers for several users, each by a key of its own.
func TestPageAccounts(t *testing.T) {
	t.Parallel()
	p := startServer(t, pageSite)
	b := startBrowser(t)
	page := b.enrolled(t, p, "alice", "Phone")
	before := page.kept()["this"]
	if before.User != "alice" {
		t.Fatalf("kept: got %+v; want User \"alice\"", page.kept())
	}
	// As a page that knew only one account has kept it.
	if err := page.eval(`new Promise((resolve) => { indexedDB.open('radmatch').onsuccess = (e) => {
		const store = e.target.result.transaction('device', 'readwrite').objectStore('device');
		store.get('this').onsuccess = (e) => { const {key, device, user, name} = e.target.result; store.put({key, device, user, name}, 'this').onsuccess = () => resolve(); };
	}; })`, nil); err != nil {
		t.Fatal(err)
	}
	page.visit("about:blank")
	page.visit(p.link("bob"))
	page.sees("This invitation is for bob.")
	page.sees("This browser also answers for alice. That stays as it is.")
	page.another(p.link("bob"), "Phone")
	both := func(what string) {
		t.Helper()
		for user, login := range map[string]string{"alice": alice, "bob": bob} {
			answer := p.login("127.0.0.1", login, `Calling-Station-Id = "198.51.100.7"`)
			page.sees("Sign in to vpn?")
			page.until(`/^User\s+` + user + `\b/.test(document.querySelector('.card dl').innerText)`)
			page.click("Approve")
			if got := <-answer; !strings.HasPrefix(got, "Access-Accept") {
				t.Errorf("%s: %s gets %q; want \"Access-Accept\" first", what, user, got)
			}
			page.click("Done")
		}
	}
	both("after the second was added")
	// What an older page has kept stays where such a page finds it.
	if kept := page.kept(); len(kept) != 2 || kept["this"] != before {
		t.Errorf("kept: %+v", kept)
	}
	page.do("Page.reload", nil)
	page.sees("Connected")
	both("after a reload")

	// Requests of both wait at once, the newer one first.
	first := p.login("127.0.0.1", alice, `Calling-Station-Id = "198.51.100.8"`)
	page.until("document.querySelectorAll('.card').length === 1")
	second := p.login("127.0.0.1", bob, `Calling-Station-Id = "198.51.100.8"`)
	page.until("document.querySelectorAll('.card').length === 2")
	page.until(`document.querySelector('.card dl').innerText.includes('bob')`)
	page.reachable("the newer one", "Deny")
	page.click("Deny")
	gets(t, second, "Access-Reject")
	page.until(`document.querySelector('.card dl').innerText.includes('alice')`)
	page.reachable("the one that is left", "Approve")
	page.click("Approve")
	gets(t, first, "Access-Accept")

	// History and devices are those of the chosen one.
	page.click("History")
	page.sees("Signed in · vpn")
	page.until("!document.getElementById('logins').innerText.includes('Denied')")
	page.click("bob")
	page.sees("Denied on a device: Phone")
	page.click("Devices")
	page.sees("this device")
	page.click("Rename Phone")
	page.enter("New name", "Bob's browser")
	page.click("Save")
	page.sees("Bob's browser")
	page.click("alice")
	page.until("document.getElementById('device-list').innerText.includes('Phone')")
	page.usable("devices of several")
	page.large("devices of several")

	// Another invitation of the same user takes the place of the device: none is
	// left that nobody holds.
	page.visit("about:blank")
	link := p.link("alice")
	page.visit(link)
	page.sees("This browser already is “Phone” of alice.")
	page.another(link, "Phone")
	p.until("the old device is gone", func() bool { return strings.Count(p.cli("device", "list", "alice"), "\nalice ") == 1 })
	both("after one was replaced")

	// Removed here or by an administrator: the other one stays.
	p.cli("device", "remove", "bob", "Bob's browser")
	page.sees("This browser is no longer a device of bob.")
	page.click("Remove from this browser")
	answer := p.login("127.0.0.1", alice, `Calling-Station-Id = "198.51.100.9"`)
	page.click("Approve")
	gets(t, answer, "Access-Accept")
	page.another(p.link("bob"), "again")
	page.click("Devices")
	page.click("alice")
	page.until("document.getElementById('device-list').innerText.includes('Phone')")
	page.click("Remove " + strings.TrimSpace(deviceName(p, "alice")))
	page.click("Remove")
	page.until("document.getElementById('device-list').innerText.includes('again')")
	answer = p.login("127.0.0.1", bob, `Calling-Station-Id = "198.51.100.10"`)
	page.click("Approve")
	gets(t, answer, "Access-Accept")
	if kept := page.kept(); len(kept) != 1 {
		t.Errorf("kept: got %+v; want 1 of them", kept)
	}
}

// TestPageManyAccounts: a browser's few connections are enough for all of them.
func TestPageManyAccounts(t *testing.T) {
	t.Parallel()
	p := newServer(t, pageSite)
	users := p.addUsers("user", 8)
	p.start()
	b := startBrowser(t)
	page := b.enrolled(t, p, users[0], "Phone")
	for _, user := range users[1:] {
		page.another(p.link(user), "Phone")
	}
	for _, user := range users {
		answer := p.login("127.0.0.1", fmt.Sprintf("User-Name = %q", user), withPassword)
		page.click("Approve")
		gets(t, answer, "Access-Accept")
	}
}

// deviceName is the name of the one device of a user.
func deviceName(p *serverProcess, user string) string {
	p.t.Helper()
	for line := range strings.Lines(p.cli("device", "list", user)) {
		if rest, ok := strings.CutPrefix(line, user+" "); ok {
			name, _, _ := strings.Cut(strings.TrimSpace(rest), "  ")
			return name
		}
	}
	p.t.Fatalf("%s has no device", user)
	return ""
}

// TestPageAccountsPasskeys: each account has its passkey, which it needs to approve
// and to remove devices.
func TestPageAccountsPasskeys(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	site := strings.Replace(pageSite, `web: "127.0.0.1:0"`, `web: "127.0.0.1:`+port+`"`, 1)
	p := startServer(t, site+"web: {public_url: \"http://localhost:"+port+"\"}\n")
	page := startBrowser(t).open(t, onPhone)
	verified := page.authenticator()
	page.visit(p.link("alice"))
	page.click("Add this device")
	page.sees("Confirm with fingerprint, face or PIN")
	page.click("Set up")
	page.until("!document.getElementById('setup').innerText.includes('fingerprint')")
	page.another(p.link("bob"), "phone")
	page.sees("Confirm for bob with fingerprint, face or PIN")
	page.click("Set up")
	page.until("!document.getElementById('setup').innerText.includes('fingerprint')")
	for _, login := range []string{alice, bob} {
		answer := p.login("127.0.0.1", login, `Calling-Station-Id = "198.51.100.7"`)
		page.click("Approve")
		gets(t, answer, "Access-Accept")
		page.click("Done")
	}
	page.click("Devices")
	page.click("Remove phone")
	verified(false)
	page.click("Remove")
	page.sees("Not confirmed: nothing was sent. Try again.")
	if deviceName(p, "bob") != "phone" {
		t.Error("got the device removed without its passkey; want it kept")
	}
	verified(true)
	page.click("Remove phone")
	page.click("Remove")
	page.until("document.getElementById('owner').textContent === 'alice'")
	if out := p.cli("device", "list"); strings.Contains(out, "bob") {
		t.Errorf("not removed:\n%s; want no \"bob\" in it", out)
	}
}
