package e2e

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa/web/webtest"
)

// displays are what the pictures of the documentation are taken on.
var displays = map[string]display{
	"phone-light":   {width: 360, height: 740, scale: 1.5, phone: true},
	"phone-dark":    {width: 360, height: 740, scale: 1.5, phone: true, dark: true},
	"desktop-light": {width: 1100, height: 720, scale: 1},
	"desktop-dark":  {width: 1100, height: 720, scale: 1, dark: true},
}

// TestScreenshots renews the pictures in the folder that `make screenshots` names.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("RADMATCH_SCREENSHOTS")
	if dir == "" {
		t.Log("run by make screenshots")
		return
	}
	port := freePort(t)
	site := strings.NewReplacer("name: vpn", "name: office-vpn", "name: portal", "name: citrix", `web: "127.0.0.1:0"`, `web: "127.0.0.1:`+port+`"`,
		"clients:\n", "clients:\n"+strings.Replace(tokenClient, "token", "firewall", 1)).Replace(pageSite)
	p := newServer(t, site+"web: {public_url: \"http://localhost:"+port+"\", geoip_database: city.mmdb}\n")
	p.write("city.mmdb", string(webtest.GeoIP(map[string][2]string{"198.51.100.0/25": {"Hamburg", "Germany"}, "198.51.100.128/25": {"Lyon", "France"}})))
	p.start()
	b := startBrowser(t)
	shoot := func(page *tab, name string) {
		t.Helper()
		for on, d := range displays {
			page.look(d)
			page.until("(scrollTo(0, 0), document.getElementById('main').scrollTo(0, 0), document.fonts.status === 'loaded')")
			if err := os.WriteFile(filepath.Join(dir, name+"-"+on+".png"), small(t, page.shot()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		page.look(onPhone)
	}

	page := b.open(t, onPhone)
	page.authenticator()
	page.visit(p.link("alice"))
	page.enter("Name of this device", "Alice's phone")
	shoot(page, "enroll")
	page.click("Add this device")
	page.sees("Connected")
	page.until("document.querySelector('#setup *')")
	shoot(page, "ready")
	page.click("Set up")
	page.until("!document.getElementById('setup').innerText.includes('fingerprint')")

	answer := p.login("127.0.0.1", alice, `Calling-Station-Id = "198.51.100.7"`)
	page.until(control("Approve"))
	shoot(page, "request")
	page.click("It wasn’t me")
	page.sees("Report this sign-in?")
	shoot(page, "notme")
	page.click("Cancel")
	page.click("Approve")
	gets(t, answer, "Access-Accept")
	page.sees("The sign-in goes on.")
	shoot(page, "approved")
	page.click("Done")

	number, answer := p.number(alice, `Calling-Station-Id = "198.51.100.7"`)
	page.enter("Type the number shown where you sign in", number)
	shoot(page, "number")
	page.click("Approve")
	gets(t, answer, "Access-Accept")
	page.click("Done")

	endUser := []string{`User-Name = "alice"`, `Calling-Station-Id = "198.51.100.7"`}
	state := p.challenge("127.0.0.4", append(endUser, withPassword)...)
	page.sees("After you approve, this page shows a code")
	page.click("Approve")
	code := page.code()
	shoot(page, "code")
	gets(t, p.login("127.0.0.4", append(endUser, state, fmt.Sprintf("User-Password = %q", code))...), "Access-Accept")
	page.click("Done")

	first := p.login("127.0.0.1", alice, `Calling-Station-Id = "198.51.100.9"`)
	page.sees("Sign in to office-vpn?")
	second := p.login("127.0.0.1", alice, `Calling-Station-Id = "198.51.100.9"`, "NAS-Port = 2")
	page.sees("2 requests wait for this decision")
	page.until(control("Deny"))
	shoot(page, "joined")
	page.click("Deny")
	gets(t, first, "Access-Reject")
	gets(t, second, "Access-Reject")

	page.click("History")
	page.sees("Signed in · citrix")
	shoot(page, "history")
	b.enrolled(t, p, "alice", "Alice's laptop")
	page.click("Devices")
	page.sees("Alice's laptop")
	shoot(page, "devices")
}

// small writes a picture with at most 256 colours, which is a third of the size:
// the page has few, and the rest are edges of letters.
func small(t *testing.T, picture []byte) []byte {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	out := image.NewPaletted(img.Bounds(), palette(img))
	draw.Draw(out, out.Bounds(), img, image.Point{}, draw.Src)
	var file bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&file, out); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// palette returns the most frequent colours of a picture, among them the shades of
// shadows, and so many more that each one has one that is near, however rare it
// is: as near as 256 allow.
func palette(img image.Image) (chosen color.Palette) {
	count := map[color.RGBA]int{}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			count[color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int { return count[b] - count[a] })
	frequent := make(color.Palette, min(160, len(colours)))
	for i := range frequent {
		frequent[i] = colours[i]
	}
	far := func(a, b uint8) int { return max(int(a)-int(b), int(b)-int(a)) }
	for distance := 0; ; distance += 2 {
		chosen = slices.Clone(frequent)
		for _, c := range colours[len(frequent):] {
			if !slices.ContainsFunc(chosen, func(known color.Color) bool {
				k := known.(color.RGBA)
				return max(far(c.R, k.R), far(c.G, k.G), far(c.B, k.B)) <= distance
			}) {
				chosen = append(chosen, c)
			}
			if len(chosen) > 256 {
				break
			}
		}
		if len(chosen) <= 256 {
			return chosen
		}
	}
}
