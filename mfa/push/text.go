package push

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/radmatch/radmatch/mfa"
)

// Printable makes a text from the network fit to be shown: at most max runes,
// the rest cut and marked, and everything that does not print on its own place
// (controls, terminal escapes, marks that turn the writing direction, invalid
// UTF-8) replaced. Where it is shown it is still to be escaped for that place.
func Printable(s string, max int) string {
	if plain(s, max) {
		return s
	}
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n == max && utf8.RuneCountInString(s) > max {
			b.WriteRune('…')
			break
		}
		if r != ' ' && !unicode.IsGraphic(r) || unicode.Is(unicode.Zs, r) && r != ' ' {
			r = utf8.RuneError
		}
		b.WriteRune(r)
	}
	return b.String()
}

// From says where the person sits, as far as anybody knows. What only a machine
// says of itself is told as such, also where it looks like an address.
func (r RequestView) From() string {
	from := Printable(r.EndUser, maxText)
	if from == "" {
		return "an unknown address"
	}
	if _, err := netip.ParseAddr(from); err != nil || r.Claimed {
		return fmt.Sprintf("what claims to be %q", from)
	}
	return from
}

// from says where the person sits who opened the prompt.
func (v PromptView) from() string {
	if v.HidesPlace {
		return "a place that is not shown here"
	}
	if len(v.Requests) == 0 {
		return RequestView{}.From()
	}
	return v.Requests[0].From()
}

func plain(s string, max int) bool {
	if len(s) > max {
		return false
	}
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// idAlphabet has the characters of a device id.
const idAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

// newDeviceID returns an id of 80 random bits that a person can type.
func newDeviceID() string { return strings.ToLower(rand.Text()[:16]) }

// NewInvitation returns an invitation for user and its token, 130 random bits,
// which is nowhere kept: of the token the invitation has the hash alone.
func NewInvitation(user mfa.Name, expires time.Time) (token string, inv Invitation) {
	token = rand.Text()
	return token, Invitation{Hash: sha256.Sum256([]byte(token)), User: user, Expires: expires}
}

// enrollPath is the page that an invitation link opens.
const enrollPath = "/enroll"

// InvitationLink returns the link that enrols a device at publicURL. The token
// is its fragment, which a browser does not send, so that it is in no server's
// or proxy's log.
func InvitationLink(publicURL, token string) string {
	return strings.TrimRight(publicURL, "/") + enrollPath + "#" + token
}

// ParseInvitationLink takes a link apart. Its errors do not repeat the token.
func ParseInvitationLink(link string) (publicURL, token string, err error) {
	base, token, _ := strings.Cut(link, "#")
	u, err := url.Parse(base)
	switch {
	case err != nil:
		return "", "", errors.New("invitation link: not a URL")
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return "", "", errors.New("invitation link: must begin with https:// or http://")
	case u.User != nil || u.RawQuery != "" || !strings.HasSuffix(u.Path, enrollPath):
		return "", "", fmt.Errorf("invitation link: must end in %s#TOKEN", enrollPath)
	case token == "" || len(token) > maxID || strings.Trim(token, base32Alphabet) != "":
		return "", "", errors.New("invitation link: has no token after the #")
	}
	u.Path = strings.TrimRight(strings.TrimSuffix(u.Path, enrollPath), "/")
	return u.String(), token, nil
}

const base32Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
