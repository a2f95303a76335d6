package ldap

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/ldap/conn"
)

// account is why a directory refuses one, and whether it says so only after it
// has found the password right.
type account struct {
	reason mfa.Reason
	proven bool
}

// adCodes are the Windows errors that Active Directory puts into the text of a
// refused bind, in hexadecimal. It looks at the password before it looks at the
// account, except for a lock: that it tells to anyone who asks. 525 (no such user) and
// 52e (wrong password) are plain rejections.
var adCodes = map[uint64]account{
	0x530: {mfa.ReasonLogonHours, true},
	0x531: {mfa.ReasonLogonWorkstation, true},
	0x532: {mfa.ReasonPasswordExpired, true},
	0x533: {mfa.ReasonAccountDisabled, true},
	0x701: {mfa.ReasonAccountExpired, true},
	0x773: {mfa.ReasonMustChange, true},
	0x775: {mfa.ReasonAccountLocked, false},
}

// policyErrors are those of draft-behera-ldap-password-policy-10 §6.2, as
// OpenLDAP's overlay ppolicy sends them.
var policyErrors = map[int]account{
	0: {mfa.ReasonPasswordExpired, true},
	1: {mfa.ReasonAccountLocked, false},
	2: {mfa.ReasonMustChange, true},
}

var adData = regexp.MustCompile(`\bdata ([0-9a-fA-F]{1,8})\b`)

// adCode finds the sub-code in a text such as "80090308: LdapErr: DSID-0C090447,
// comment: AcceptSecurityContext error, data 52e, v2580".
func adCode(text string) (uint64, bool) {
	m := adData.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	code, err := strconv.ParseUint(m[1], 16, 32)
	return code, err == nil
}

var errBindRefused = fmt.Errorf("the directory does not take the password: %w", mfa.ErrRejected)

// refusedBind is what an answer to the bind of a user other than yes means. An answer
// that is not known to mean a wrong password counts as no answer.
func refusedBind(r *conn.ResultError) error {
	if why, ok := policyErrors[r.Policy]; ok {
		return &mfa.AccountError{Reason: why.reason, Proven: why.proven, Err: r}
	}
	switch r.Code {
	case conn.CodeInvalidCredentials:
		code, _ := adCode(r.Text)
		if why, ok := adCodes[code]; ok {
			return &mfa.AccountError{Reason: why.reason, Proven: why.proven, Err: r}
		}
		return fmt.Errorf("%w: %w", errBindRefused, r)
	case conn.CodeInappropriateAuth, conn.CodeNoSuchObject: // an entry without a password, or gone since the search
		return fmt.Errorf("%w: %w", errBindRefused, r)
	case conn.CodeConstraintViolation: // 389 Directory Server after too many wrong passwords
		return &mfa.AccountError{Reason: mfa.ReasonAccountLocked, Err: r}
	}
	return r
}
