package e2e

import (
	"fmt"
	"strings"
	"testing"
)

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

// TestPageByKeyboard: everything that a user does, without a mouse; who cannot
// see is told what comes, and the focus is where it is of use.
func TestPageByKeyboard(t *testing.T) {
	t.Parallel()
	p := startServer(t, pageSite)
	page := startBrowser(t).open(t, onPhone)
	page.visit(p.link("alice"))
	page.until(control("Add this device"))
	do := func(name string) {
		t.Helper()
		page.until(control(name))
		page.tabTo(name)
		page.press("Enter")
	}
	write := func(text string) { page.do("Input.insertText", object{"text": text}) }
	focused := func(text string) {
		t.Helper()
		page.until(fmt.Sprintf("document.activeElement.textContent === %q", text))
	}
	page.tabTo("Name of this device")
	write("keys")
	page.press("Enter")
	page.sees("Connected")
	page.until("document.getElementById('announce').textContent === 'This device is ready.'")

	number, answer := p.number(alice)
	page.until("document.getElementById('announce').textContent.startsWith('New sign-in request. Sign in to portal? 5')")
	page.until(control("Deny"))
	page.tabTo("Type the number shown where you sign in")
	page.press("Enter")
	page.sees("Type the number first.")
	write(number)
	page.press("Enter")
	gets(t, answer, "Access-Accept")
	focused("Approved")
	do("Done")
	focused("Sign-in requests")

	answer = p.login("127.0.0.1", alice)
	do("It wasn’t me")
	page.sees("Report this sign-in?")
	page.until("document.querySelector('dialog').contains(document.activeElement)")
	page.press("Escape")
	focused("It wasn’t me")
	do("Deny")
	gets(t, answer, "Access-Reject")
	focused("Denied")

	do("History")
	focused("Your sign-ins")
	page.sees("Signed in · portal")
	do("Devices")
	focused("Your devices")
	do("Rename keys")
	write("keyboard")
	page.press("Enter")
	page.until("document.getElementById('announce').textContent === 'Renamed to keyboard.'")
	do("Remove keyboard")
	page.sees("This is the device in your hands.")
	do("Remove")
	page.sees("This device is no longer registered.")
}

// TestPageTranslated: with other texts in the file of texts there is no word left
// on the page that is not from it, except names.
func TestPageTranslated(t *testing.T) {
	t.Parallel()
	p := startServer(t, pageSite)
	page := startBrowser(t).open(t, onPhone)
	page.do("Page.addScriptToEvaluateOnNewDocument", object{"source": `const real = window.fetch;
		window.fetch = async (what, ...more) => {
			const answer = await real(what, ...more);
			if (!String(what).startsWith('texts.')) return answer;
			const texts = Object.entries(await answer.json()).map(([key, text]) => [key, '«' + text + '»']);
			return new Response(JSON.stringify(Object.fromEntries(texts)));
		};`})
	translated := func(what string) {
		t.Helper()
		var left []string
		if err := page.eval(`(() => {
			const left = [];
			const look = (text) => {
				let rest = text;
				for (let before; before !== rest;) { before = rest; rest = rest.replace(/«[^«»]*»/g, ''); }
				rest = rest.replace(/\d+:\d\d:\d\d\s[AP]M|radmatch|alice|vpn|mine|198\.51\.100\.7/g, '');
				if (/\p{L}/u.test(rest)) left.push(text);
			};
			for (const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); walk.nextNode();) {
				if (!walk.currentNode.parentElement.closest('noscript, pre, script')) look(walk.currentNode.data);
			}
			for (const e of document.querySelectorAll('[aria-label], [title], [alt], [placeholder]')) {
				for (const name of ['aria-label', 'title', 'alt', 'placeholder']) look(e.getAttribute(name) ?? '');
			}
			look(document.title);
			return left;
		})()`, &left); err != nil || len(left) > 0 {
			t.Errorf("%s: not from the file: %q (%v)", what, left, err)
		}
	}
	page.visit(p.link("alice"))
	page.until(control("«Add this device»"))
	translated("enroll")
	page.enter("«Name of this device»", "mine")
	page.click("«Add this device»")
	page.sees("«Connected»")
	answer := p.login("127.0.0.1", alice, `Calling-Station-Id = "198.51.100.7"`)
	page.until(control("«Deny»"))
	translated("request")
	page.click("«It wasn’t me»")
	page.until("document.querySelector('dialog')")
	translated("dialog")
	page.click("«Cancel»")
	page.click("«Deny»")
	gets(t, answer, "Access-Reject")
	page.until(control("«Done»"))
	translated("result")
	page.click("«History»")
	page.sees("«Denied on a device»")
	translated("history")
	page.click("«Devices»")
	page.until("document.querySelector('#device-list li')")
	translated("devices")
}

// usable demands that the page is as wide as the display, that what a user can
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
			p.t.Errorf("%s, dark %v: hard to read: %q (%v); want no error, none", what, s.dark, faint, err)
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
