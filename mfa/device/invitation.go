package device

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// Invitation lets one device enrol for User until Expires. Of its token only
// the SHA-256 is stored.
type Invitation struct {
	Hash    [32]byte
	User    mfa.Name
	Expires time.Time
}

// ErrInvitation means that an invitation is unknown, used or expired.
var ErrInvitation = errors.New("invitation unknown, used or expired")

// NewInvitation returns an invitation for user and its token, 130 random bits,
// which is nowhere kept: the invitation has only the hash of the token.
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
	case token == "" || len(token) > MaxID || strings.Trim(token, base32Alphabet) != "":
		return "", "", errors.New("invitation link: has no token after the #")
	}
	u.Path = strings.TrimRight(strings.TrimSuffix(u.Path, enrollPath), "/")
	return u.String(), token, nil
}

const base32Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// InvitationRequest is the body of POST /api/v1/invitation.
type InvitationRequest struct {
	Token string `json:"token"`
}

// InvitationView is the answer to it: only who has the token learns for whom it is.
type InvitationView struct {
	User    string    `json:"user"`
	Expires time.Time `json:"expires"`
	Time    time.Time `json:"time"` // of the server
}

// TokenHash is what is kept of a token. ErrInvitation for what cannot be one.
func TokenHash(token string) ([32]byte, error) {
	if token == "" || len(token) > MaxID {
		return [32]byte{}, ErrInvitation
	}
	return sha256.Sum256([]byte(token)), nil
}
