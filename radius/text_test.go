package radius

import (
	"errors"
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

// An MS-CHAPv2 response was computed with the octets of the name that the client has.
func TestWindows1252MSCHAPv2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		const name = "J\xfcrgen"
		p := r.ask(1, 1, func(q *Query) { q.User, q.Cred = name, mfa.MSCHAPv2{Ident: 3} })
		r.arrive(p)
		synctest.Wait()
		c := r.auth.seen()[0]
		if cred, ok := c.Cred.(mfa.MSCHAPv2); !ok || c.User.Sent() != "Jürgen" || cred.NameOf(c.User) != name {
			t.Errorf("user %q, %#v", c.User.Sent(), c.Cred)
		}
	})
	h := newHome(t)
	h.accept = func(_ *homeRequest, w *writer) { w.text(typeUserName, "J\xfcrgen") }
	u, _ := upstreamOf(t, nil, h)
	_, err := u.Check(t.Context(), mfa.NameOf("Jürgen"), mfa.MSCHAPv2{Octets: "J\xfcrgen"})
	if asked := h.requests(); !errors.Is(err, mfa.ErrRejected) || len(asked) != 1 || asked[0].user != "J\xfcrgen" {
		t.Errorf("an upstream is asked %d times: %v", len(asked), err)
	}
	if id, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse")); err != nil || id.Name.String() != "Jürgen" {
		t.Errorf("an upstream says %v, %v", id.Name, err)
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
