package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// onScreen is a script that says where the control of that name is, if a press in
// its middle would not reach it: off the screen, or something else is above it.
func onScreen(name string) string {
	return `(() => { const e = ` + control(name) + `; if (!e) return 'it is not there';
		const r = e.getBoundingClientRect();
		const at = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2);
		const inside = r.top >= 0 && r.bottom <= innerHeight && r.left >= 0 && r.right <= innerWidth;
		return inside && e.contains(at) ? '' : JSON.stringify(r) + ' below ' + (at?.outerHTML.slice(0, 60) ?? 'nothing'); })()`
}

// reachable demands that a control can be pressed without scrolling.
func (p *tab) reachable(what, name string) {
	p.t.Helper()
	p.until(control(name))
	var problem string
	if err := p.eval(onScreen(name), &problem); err != nil || problem != "" {
		p.t.Errorf("%s: %s cannot be pressed: %s (%v); want no error, no text", what, name, problem, err)
	}
}

// TestPageNewRequestFirst: whatever is on the page already, the request that waits
// can be approved without scrolling.
func TestPageNewRequestFirst(t *testing.T) {
	t.Parallel()
	p := startServer(t, pageSite)
	b := startBrowser(t)
	for user, on := range map[string]display{"alice": onPhone, "bob": {width: 1280, height: 800, scale: 1}} {
		page := b.enrolled(t, p, user, "phone")
		page.look(on)
		signIn := func(place int) <-chan string {
			return p.login("127.0.0.1", fmt.Sprintf("User-Name = %q", user), withPassword, fmt.Sprintf(`Calling-Station-Id = "198.51.100.%d"`, place))
		}
		for i := range 4 {
			answer := signIn(i)
			page.reachable(fmt.Sprintf("%s, after %d", user, i), "Approve")
			page.click("Approve")
			gets(t, answer, "Access-Accept")
			page.sees("The sign-in goes on.")
		}
		var over int
		if err := page.eval("document.querySelectorAll('.result').length", &over); err != nil || over != 1 {
			t.Errorf("%s: %d results are left, want that of the last request (%v)", user, over, err)
		}
		answer := signIn(9)
		page.reachable(user+", the fifth", "Approve")
		page.until("!document.querySelector('.result')")
		page.click("Deny")
		gets(t, answer, "Access-Reject")
	}
}

// TestPageGoesToRequest: a request is shown at once also while another part of the
// page is open, but takes no user away from what they write.
func TestPageGoesToRequest(t *testing.T) {
	t.Parallel()
	p := startServer(t, pageSite)
	page := startBrowser(t).enrolled(t, p, "alice", "phone")
	for i, section := range []string{"History", "Devices"} {
		page.click(section)
		page.until("!document.querySelector('main > section:not([hidden]) [aria-live]:empty')")
		answer := p.login("127.0.0.1", alice, fmt.Sprintf(`Calling-Station-Id = "198.51.100.%d"`, i))
		page.reachable("from "+section, "Approve")
		page.click("Approve")
		gets(t, answer, "Access-Accept")
		page.click("Done")
	}
	page.click("Devices")
	page.enter("New name", page.typing("Rename phone"))
	answer := p.login("127.0.0.1", alice, `Calling-Station-Id = "198.51.100.9"`)
	page.until("document.getElementById('waiting').textContent === '1'")
	page.until("document.activeElement.value === 'half a na' && document.querySelector('dialog[open]')")
	page.click("Cancel")
	page.click("Approve")
	gets(t, answer, "Access-Accept")
}

// typing opens the dialog behind a button and returns what is typed into it.
func (p *tab) typing(button string) string {
	p.t.Helper()
	p.click(button)
	return "half a na"
}

// sizes are displays as they are at 100, 200 and 400 % zoom.
var sizes = map[string]display{
	"phone": onPhone, "small phone": {width: 320, height: 560, scale: 1, phone: true}, "desktop": {width: 1280, height: 800, scale: 1},
	"desktop at 200 %": {width: 640, height: 400, scale: 1}, "desktop at 400 %": {width: 320, height: 256, scale: 1},
}

// TestPageLargeText: with text of twice the size (WCAG 2.2 §1.4.4) nothing is cut,
// lies above another text, or is broken within its words.
func TestPageLargeText(t *testing.T) {
	t.Parallel()
	p := startServer(t, strings.Replace(pageSite, "clients:\n", "clients:\n"+tokenClient, 1))
	b := startBrowser(t)
	page := b.open(t, onPhone)
	page.visit(p.link("alice"))
	page.until(control("Add this device"))
	page.large("enroll")
	page.click("Add this device")
	page.sees("Connected")
	page.large("nothing waits")
	_, answer := p.number(alice, `Calling-Station-Id = "198.51.100.7"`)
	page.until(control("Deny"))
	page.large("number")
	page.click("It wasn’t me")
	page.sees("Report this sign-in?")
	page.large("dialog")
	page.click("Cancel")
	page.click("Deny")
	gets(t, answer, "Access-Reject")
	page.sees("The sign-in was rejected.")
	page.large("result")
	first := p.login("127.0.0.1", alice, `Calling-Station-Id = "2001:db8:1234:5678:9abc:def0:1234:5678"`)
	page.sees("Sign in to vpn?")
	second := p.login("127.0.0.1", alice, `Calling-Station-Id = "2001:db8:1234:5678:9abc:def0:1234:5678"`, "NAS-Port = 2")
	page.sees("2 requests wait for this decision")
	page.large("joined")
	page.click("Approve")
	gets(t, first, "Access-Accept")
	gets(t, second, "Access-Accept")
	endUser := []string{`User-Name = "alice"`, `Calling-Station-Id = "198.51.100.9"`}
	state := p.challenge("127.0.0.4", append(endUser, withPassword)...)
	page.click("Approve")
	code := page.code()
	page.large("code")
	gets(t, p.login("127.0.0.4", append(endUser, state, fmt.Sprintf("User-Password = %q", code))...), "Access-Accept")
	for _, section := range []string{"History", "Devices"} {
		page.click(section)
		page.until("!document.querySelector('main > section:not([hidden]) [aria-live]:empty')")
		page.large(section)
	}
}

// large looks at the page with large text on each display.
func (p *tab) large(what string) {
	p.t.Helper()
	for name, s := range sizes {
		p.look(s)
		p.until(fmt.Sprintf("innerWidth === %d", s.width))
		for _, size := range []string{"175%", "200%"} {
			var problems []string
			err := p.eval("document.documentElement.style.fontSize = "+strconv.Quote(size)+", "+badTexts, &problems)
			if err != nil || len(problems) > 0 {
				p.t.Errorf("%s, %s, text of %s: %q (%v); want no error, none", what, name, size, problems, err)
			}
		}
	}
	p.look(onPhone)
	p.until("(document.documentElement.style.fontSize = '', innerWidth === 360)")
}

// badTexts finds lines of text that are cut at the side, lie above each other, or
// end within a word that is no longer than those of the page.
const badTexts = `(() => {
	const problems = [], lines = [];
	const scroller = document.querySelector('dialog[open]') ?? document.getElementById('main');
	for (const e of [document.scrollingElement, scroller]) if (e.scrollWidth > e.clientWidth + 1) problems.push('scrolls sideways: ' + (e.id || e.tagName));
	const root = document.querySelector('dialog[open]') ?? document.body;
	for (const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT); walk.nextNode();) {
		const node = walk.currentNode, e = node.parentElement;
		if (!node.data.trim() || !e.checkVisibility() || e.closest('noscript, .hidden, .skip, pre')) continue;
		const clip = scroller.contains(e) && getComputedStyle(scroller).overflowY !== 'visible' ? scroller.getBoundingClientRect() : undefined;
		const range = new Range();
		for (const word of node.data.matchAll(/(?<![\d:])\p{L}+(?![\d:])/gu)) {
			if (word[0].length > 11) continue;
			range.setStart(node, word.index);
			range.setEnd(node, word.index + word[0].length);
			if (range.getClientRects().length > 1) problems.push('broken: ' + word[0] + ' in ' + node.data.trim().slice(0, 40));
		}
		range.selectNodeContents(node);
		for (const r of range.getClientRects()) {
			if (r.width === 0) continue;
			if (r.left < -1 || r.right > innerWidth + 1) problems.push('cut: ' + node.data.trim().slice(0, 40));
			const top = Math.max(r.top, clip?.top ?? -Infinity), bottom = Math.min(r.bottom, clip?.bottom ?? Infinity);
			// The space between the lines is no text.
			const space = (r.bottom - r.top) * .2;
			if (bottom - top > 2 * space) lines.push({node, text: node.data.trim().slice(0, 40), left: r.left, right: r.right, top: top + space, bottom: bottom - space});
		}
	}
	lines.forEach((a, i) => lines.slice(i + 1).forEach((b) => {
		if (a.node !== b.node && a.left + 2 < b.right && b.left + 2 < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom) problems.push(a.text + ' above ' + b.text);
	}));
	return problems;
})()`

// TestPageFocusIsSeen: what the Tab key reaches is on the screen, and nothing is
// above it (WCAG 2.2 §2.4.11), however large the text or the page is.
func TestPageFocusIsSeen(t *testing.T) {
	t.Parallel()
	p := startServer(t, pageSite)
	b := startBrowser(t)
	page := b.enrolled(t, p, "alice", "phone")
	for i := range 4 {
		b.enrolled(t, p, "alice", fmt.Sprintf("device %d", i))
	}
	page.click("Devices")
	page.sees("device 3")
	page.tabbed("devices", 8)
	_, answer := p.number(alice, `Calling-Station-Id = "198.51.100.7"`)
	page.until(control("Deny"))
	page.tabbed("request", 7)
	page.click("Deny")
	gets(t, answer, "Access-Reject")
}

// tabbed goes through the page by the Tab key, which reaches so many controls at least.
func (p *tab) tabbed(what string, atLeast int) {
	p.t.Helper()
	for name, s := range sizes {
		for _, size := range []string{"100%", "200%"} {
			p.look(s)
			p.until(fmt.Sprintf("innerWidth === %d", s.width))
			if err := p.eval("document.documentElement.style.fontSize = "+strconv.Quote(size)+", document.activeElement.blur()", nil); err != nil {
				p.t.Fatal(err)
			}
			reached := map[string]bool{} // and the empty name, of the page itself
			for range 40 {
				p.press("Tab")
				var at struct{ Name, Problem string }
				if err := p.eval(`(() => { const e = document.activeElement, r = e.getBoundingClientRect();
					if (e === document.body) return {};
					const points = [.1, .5, .9].map((at) => document.elementFromPoint(r.x + r.width / 2, r.y + r.height * at));
					const name = (e.innerText || e.labels?.[0]?.innerText || e.id).trim();
					return {name, problem: points.every((at) => e.contains(at)) ? '' : JSON.stringify(r) + ' below ' + points.map((at) => at?.outerHTML.slice(0, 40) ?? 'nothing')}; })()`, &at); err != nil {
					p.t.Fatal(err)
				}
				if at.Problem != "" {
					p.t.Errorf("%s, %s, text of %s: %q has the focus and is not seen: got %s; want no text", what, name, size, at.Name, at.Problem)
				}
				reached[at.Name] = true
			}
			if len(reached) <= atLeast {
				p.t.Errorf("%s, %s: the Tab key reaches %d: %v", what, name, len(reached), reached)
			}
		}
	}
	p.look(onPhone)
	p.until("(document.documentElement.style.fontSize = '', innerWidth === 360)")
}
