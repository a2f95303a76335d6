package radius

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/radmatch/radmatch/mfa"
)

// What a device sends in Windows-1252 is read as the user typed it, in every text of
// a signed request, and in none of an unsigned one: there it may be a wrong secret.
func TestWindows1252(t *testing.T) {
	const name, typed = "J\xfcrgen", "Z\xfcrich-\xe9t\xe97\x80"
	for _, signed := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *Client) { c.RequireMA = RequireNo })
			attributes := [][]byte{
				avp(typeUserName, name), pap(typed, 1, testSecret), avp(typeCallingStationID, "B\xfcro"), avp(typeNASIdentifier, "T\xfcr"),
			}
			if signed {
				attributes = append(attributes, emptyMA())
			}
			r.arrive(raw(AccessRequest, 1, 1, attributes...))
			synctest.Wait()
			c := r.auth.seen()[0]
			if !signed {
				if _, ok := c.Cred.(mfa.Unsupported); !ok || c.EndUser != "" {
					t.Errorf("unsigned: %#v from %q", c.Cred, c.EndUser)
				}
				return
			}
			if c.User.Sent() != "Jürgen" || c.Cred != mfa.Password("Zürich-été7€") || c.EndUser != "Büro" || c.NAS != "Tür" {
				t.Errorf("user %q from %q at %q; password right: %v", c.User.Sent(), c.EndUser, c.NAS, c.Cred == mfa.Password("Zürich-été7€"))
			}
		})
	}
}

func TestAppendText(t *testing.T) {
	for _, tt := range []struct {
		v, want string
		ok      bool
	}{
		{"", "", true},
		{"plain", "plain", true},
		{"Zürich €", "Zürich €", true},
		{"Z\xfcrich \x80", "Zürich €", true},
		{"cost\xa35", "cost£5", true},
		{strings.Repeat("\x80", 253), strings.Repeat("€", 253), true},
		{"\xff\x01", "", false},          // garbage of a wrong secret
		{"\xfc\x81", "", false},          // not in Windows-1252
		{"\xfc\r\n", "", false},          // nothing that begins a line
		{"\x00tab\t", "\x00tab\t", true}, // UTF-8 is as it was
	} {
		got, ok := appendText([]byte("x"), []byte(tt.v))
		if string(got) != "x"+tt.want || ok != tt.ok {
			t.Errorf("%q: got %q, %v", tt.v, got, ok)
		}
	}
}
