package password

import (
	"errors"
	"strings"

	"github.com/radmatch/radmatch/mfa"
)

// WithoutDomain is a canonical name without the canonical domain. It is empty
// where the name does not end in that.
func WithoutDomain(name, domain string) string {
	at := strings.LastIndexByte(name, '@')
	if at < 0 || !mfa.NameOf(name[at+1:]).Is(mfa.NameOf(domain)) {
		return ""
	}
	return name[:at]
}

// UnknownUser is the ErrRejected of a name that a primary does not have. A Sequence
// goes on after it: no password was looked at.
func UnknownUser(text string) error { return unknownUser{errors.New(text)} }

type unknownUser struct{ error }

func (unknownUser) Is(target error) bool { return target == mfa.ErrRejected }
