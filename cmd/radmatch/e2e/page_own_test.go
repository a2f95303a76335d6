package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/web/webtest"
)

// TestPageOwn: a user sees the own sign-ins and devices, names and removes them.
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
	lost.decide(lost.prompt(), device.ActionDeny, "")
	gets(t, answer, "Access-Reject")
	p.awaitEvent("alice", "reject push_denied", 1)
	page.click("History")
	page.sees("Signed in · vpn")
	page.sees("Approved on a device: phone")
	page.sees("from 198.51.100.7")
	page.sees("Rejected · portal")
	page.sees("Denied on a device: alice's")
	page.until("!document.body.innerText.includes('Wrong password')") // an unknown caller's, perhaps

	page.click("Devices")
	page.sees("this device")
	page.click("Rename phone")
	page.enter("New name", "Alice's new phone")
	page.click("Save")
	page.until(control("Rename Alice’s new phone") + " || " + control("Rename Alice's new phone"))
	if out := p.cli("device", "list", "alice"); !strings.Contains(out, "Alice's new phone") {
		t.Errorf("not renamed:\n%s; want \"Alice's new phone\" in it", out)
	}
	page.click("Remove alice's")
	page.sees("Remove “alice's”?")
	page.click("Cancel")
	page.click("Remove alice's")
	page.click("Remove")
	page.until("!(" + control("Remove alice's") + ")")
	if _, err := lost.Prompts(t.Context()); err == nil {
		t.Error("the lost device can still ask: got no error; want one")
	}
	page.click("Remove Alice's new phone")
	page.sees("This is the device in your hands.")
	page.click("Remove")
	page.sees("This device is no longer registered.")
	if code, out, _ := p.run("device", "list", "alice"); strings.Contains(out, "phone") {
		t.Errorf("exit %d\n%s; want no \"phone\" in it", code, out)
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

// TestPageCode: after an approval the page shows the code that the sign-in wants.
func TestPageCode(t *testing.T) {
	t.Parallel()
	p := startServer(t, strings.Replace(pageSite, "clients:\n", "clients:\n"+tokenClient, 1))
	page := startBrowser(t).enrolled(t, p, "alice", "phone")
	endUser := []string{`User-Name = "alice"`, `Calling-Station-Id = "198.51.100.7"`}
	state := p.challenge("127.0.0.4", append(endUser, withPassword)...)
	page.sees("After you approve, this page shows a code")
	page.click("Approve")
	page.look(display{width: 320, height: 560, scale: 1, phone: true})
	page.until("(() => { const r = new Range(); r.selectNodeContents(document.querySelector('.code')); return r.getClientRects().length === 1; })()")
	page.usable("code")
	gets(t, p.login("127.0.0.4", append(endUser, state, fmt.Sprintf("User-Password = %q", page.code()))...), "Access-Accept")
	page.click("Done")
	page.click("History")
	page.sees("Code shown by a device")
}

// TestPageHides: a request names neither client nor place for whom policy hides
// them, and both for everybody else.
func TestPageHides(t *testing.T) {
	t.Parallel()
	p := newServer(t, pageSite+`web: {geoip_database: city.mmdb}
policy:
  show_application_name: {exclude: [discreet]}
  show_location: {exclude: [discreet]}
`)
	p.write("city.mmdb", string(webtest.GeoIP(map[string][2]string{"198.51.100.0/24": {"Hamburg", "Germany"}})))
	p.write("users.yaml", scriptUsers+`  - {name: dora, password: "{NT}`+rightHorse+`", groups: [discreet]}`+"\n")
	p.start()
	b := startBrowser(t)
	for user, title := range map[string]string{"alice": "Sign in to vpn?", "dora": "Is it you who signs in?"} {
		page := b.enrolled(t, p, user, "phone")
		var answers []<-chan string
		for i := range 2 { // the second one joins
			answers = append(answers, p.login("127.0.0.1", fmt.Sprintf("User-Name = %q", user), withPassword,
				`Calling-Station-Id = "198.51.100.7"`, fmt.Sprintf("NAS-Port = %d", i)))
			page.sees([]string{title, "2 requests wait for this decision"}[i])
		}
		shown := page.markup()
		page.click("Approve")
		for _, answer := range answers {
			gets(t, answer, "Access-Accept")
		}
		page.until(control("Done"))
		shown += page.markup()
		for _, secret := range []string{"vpn", "127.0.0.1", "Hamburg, Germany", "198.51.100.7", "From"} {
			if strings.Contains(shown, secret) != (user == "alice") {
				t.Errorf("%s: %q in the page:\n%s", user, secret, shown)
			}
		}
	}
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

	// A caller with the key of the device and without the passkey approves nothing, but can deny.
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
// whether the user shows fingerprint, face or PIN.
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
