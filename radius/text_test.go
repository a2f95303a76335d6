package radius

import (
	"testing"
	"testing/synctest"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// What a device sends in Windows-1252 is read as the user typed it, in every text of
// a signed request, and in none of an unsigned one: there it may be a wrong secret.
func TestWindows1252(t *testing.T) {
	const name, typed = "J\xfcrgen", "Z\xfcrich-\xe9t\xe97\x80"
	for _, signed := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *Client) { c.RequireMA = RequireNo })
			attributes := [][]byte{
				avp(wire.TypeUserName, name), papOf(typed, 1, testSecret), avp(wire.TypeCallingStationID, "B\xfcro"), avp(wire.TypeNASIdentifier, "T\xfcr"),
			}
			if signed {
				attributes = append(attributes, emptyMA())
			}
			r.arrive(raw(wire.AccessRequest, 1, 1, attributes...))
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
		p := r.ask(1, 1, func(q *wire.Query) { q.User, q.Cred = name, mfa.MSCHAPv2{Ident: 3} })
		r.arrive(p)
		synctest.Wait()
		c := r.auth.seen()[0]
		if cred, ok := c.Cred.(mfa.MSCHAPv2); !ok || c.User.Sent() != "Jürgen" || cred.NameOf(c.User) != name {
			t.Errorf("user %q, %#v", c.User.Sent(), c.Cred)
		}
	})
}
