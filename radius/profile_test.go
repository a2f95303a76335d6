package radius

import (
	"regexp"
	"strings"
	"testing"
)

// TestProfiles: each profile is whole, and its fields can be named in a file.
func TestProfiles(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+$`)
	for _, p := range Profiles() {
		if !name.MatchString(p.Name) || p.Device == "" || p.Waits == "" || p.Raise == "" || len(p.Quirks) == 0 {
			t.Errorf("profile %s is not whole: %+v", p.Name, p)
		}
		if got, err := LookupProfile(p.Name); err != nil || got != p {
			t.Errorf("profile %s is looked up as %v, %v", p.Name, got, err)
		}
		if p.MaxAnswer != 0 && p.MaxAnswer < 512 {
			t.Errorf("profile %s reads %d octets", p.Name, p.MaxAnswer)
		}
		for _, f := range append(p.EndUser, p.Address...) {
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
