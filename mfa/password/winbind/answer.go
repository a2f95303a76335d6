package winbind

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/radmatch/radmatch/mfa"
)

// Bounds of an answer. A real one has two lines.
const (
	maxLine  = 4096
	maxLines = 16
)

// answer is what a helper says to a question. The zero value refuses without a reason.
type answer struct {
	right bool
	key   [16]byte // MD4 of the NT hash; only where right
	text  string   // Samba's text of the NT status; only where not right
}

// readAnswer reads one answer. Whatever is not exactly an answer is an error.
func readAnswer(r *bufio.Reader) (answer, error) {
	var reply answer
	seen := map[string]bool{}
	for range maxLines {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return answer{}, noAnswer(err)
		}
		text := strings.TrimSuffix(string(line), "\n")
		if text == "." {
			if len(seen) == 0 {
				continue // a refusal is followed by two of them
			}
			return reply.complete(seen)
		}
		name, value, _ := strings.Cut(text, ": ")
		if seen[name] || !reply.set(name, value) {
			return answer{}, fmt.Errorf("unexpected answer %.200q", text)
		}
		seen[name] = true
	}
	return answer{}, errors.New("answer without an end")
}

func noAnswer(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("ended without an answer")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("no answer in time")
	}
	return err
}

// set takes one line of an answer, false if it cannot be one.
func (p *answer) set(name, value string) bool {
	switch name {
	case "Authenticated":
		p.right = value == "Yes"
		return p.right || value == "No"
	case "User-Session-Key":
		n, err := hex.Decode(p.key[:], []byte(value[:min(len(value), 2*len(p.key))]))
		return err == nil && n == len(p.key) && len(value) == 2*len(p.key)
	case "Authentication-Error":
		p.text = value
		return true
	}
	return false
}

// complete refuses an answer that contradicts itself. A session key of zeros is
// what Samba has where the domain controller gave none: traffic would be
// encrypted with a key that everyone knows.
func (p *answer) complete(seen map[string]bool) (answer, error) {
	switch {
	case !seen["Authenticated"], p.right && seen["Authentication-Error"], !p.right && seen["User-Session-Key"]:
		return answer{}, errors.New("answer that contradicts itself")
	case p.right && p.key == [16]byte{}:
		return answer{}, errors.New("right, but without the session key")
	}
	return *p, nil
}

// refusals are Samba's texts of the NT statuses that say something about the
// account or its password; the helper gives no number. Proven: a domain
// controller looks at that only after the password was right. A text that is not here
// ("No logon servers are currently available …") is no answer about the user.
var refusals = []struct {
	text   string // of libsamba-errors
	reason mfa.Reason
	proven bool
}{
	{"When trying to update a password, this return status indicates that the value provided as the current password is not correct.", mfa.ReasonWrongPassword, false},
	{"The attempted logon is invalid. This is either due to a bad username or authentication information.", mfa.ReasonWrongPassword, false},
	{"The specified account does not exist.", mfa.ReasonWrongPassword, false},
	{"The user account has been automatically locked because too many invalid logon attempts or password change attempts have been requested.", mfa.ReasonAccountLocked, false},
	{"The user account password has expired.", mfa.ReasonPasswordExpired, true},
	{"The user password must be changed before logging on the first time.", mfa.ReasonMustChange, true},
	{"The referenced account is currently disabled and cannot be logged on to.", mfa.ReasonAccountDisabled, true},
	{"The user account has expired.", mfa.ReasonAccountExpired, true},
	{"The user account has time restrictions and cannot be logged onto at this time.", mfa.ReasonLogonHours, true},
	{"The user account is restricted so that it cannot be used to log on from the source workstation.", mfa.ReasonLogonWorkstation, true},
	{"Indicates a referenced user name and authentication information are valid, but some user account restriction has prevented successful authentication (such as time-of-day restrictions).", mfa.ReasonAccountRestricted, false},
	{"A user has requested a type of logon (for example, interactive or network) that has not been granted. An administrator has control over who can logon interactively and through the network.", mfa.ReasonAccountRestricted, false},
}

// errNoWinbind: winbindd does not run, or does not serve this user.
var errNoWinbind = errors.New("winbind does not answer")

// noWinbind is what the helper says then.
const noWinbind = "Reading winbind reply failed!"

// refusal is nil for a right response, otherwise the error that the answer means.
func (p *answer) refusal() error {
	if p.right {
		return nil
	}
	said := fmt.Errorf("ntlm_auth: %.200q", p.text)
	for _, r := range refusals {
		switch {
		case r.text != p.text:
			continue
		case r.reason == mfa.ReasonWrongPassword:
			return fmt.Errorf("%w: %w", mfa.ErrRejected, said)
		default:
			return &mfa.AccountError{Reason: r.reason, Proven: r.proven, Err: said}
		}
	}
	if p.text == noWinbind {
		return fmt.Errorf("%w: %w", errNoWinbind, said)
	}
	return said
}
