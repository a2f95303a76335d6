package profile

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestProfiles: each profile is whole, and its fields can be named in a file.
func TestProfiles(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+$`)
	for _, p := range All() {
		if !name.MatchString(p.Name) || p.Device == "" || p.Waits == "" || p.Raise == "" || len(p.Quirks) == 0 {
			t.Errorf("profile %s is not whole: %+v", p.Name, p)
		}
		if got, err := Lookup(p.Name); err != nil || got != p {
			t.Errorf("profile %s is looked up as %v, %v", p.Name, got, err)
		}
		if p.MaxAnswer != 0 && p.MaxAnswer < 512 {
			t.Errorf("profile %s reads %d octets", p.Name, p.MaxAnswer)
		}
		for _, f := range append(p.EndUser, p.AddressAttribute...) {
			if same, err := ParseField(f.String()); err != nil || same != f {
				t.Errorf("profile %s: field %s is read as %v, %v", p.Name, f, same, err)
			}
		}
		for _, s := range append(p.Quirks, p.Waits, p.Raise, p.Device) {
			if strings.ContainsAny(s, "|\n") {
				t.Errorf("profile %s: %q does not fit in a table", p.Name, s)
			}
		}
	}
}

// TestDocumentedNASTimeouts: a device that waits as long as its page says is not warned of.
func TestDocumentedNASTimeouts(t *testing.T) {
	nasTimeout := regexp.MustCompile("`nas_timeout: ([0-9]+s)`")
	said := 0
	for _, p := range All() {
		texts := p.Raise
		page, err := os.ReadFile("../../docs/" + p.Page)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range strings.Split(string(page), "\n## ") {
			if strings.HasPrefix(s, p.Name+"\n") {
				texts += s
			}
		}
		for _, m := range nasTimeout.FindAllStringSubmatch(texts, -1) {
			said++
			if d, err := time.ParseDuration(m[1]); err != nil || p.TooShort(d) {
				t.Errorf("%s: its page says nas_timeout: %s, and check warns of that (%v)", p.Name, m[1], err)
			}
		}
		if p.NASTimeout > 0 && p.NASTimeout < 10*time.Second && !p.TooShort(p.NASTimeout) {
			t.Errorf("%s waits %s, and check does not warn", p.Name, p.NASTimeout)
		}
	}
	if said < 8 {
		t.Errorf("only %d NAS timeouts were found; want at least 8", said)
	}
}
