package login

import (
	"errors"
	"fmt"
	"github.com/radmatch/radmatch/mfa"
)

// The texts that a user sees. They are short ASCII because pam_radius shows
// one Reply-Message of a small reply and many dialogs show nothing else, and a
// rejection always says the same, so that it tells an attacker nothing.
const (
	messageRejected    = "Sign-in failed."
	messageEnterCode   = "Enter your verification code."
	messageAnswer      = mfa.MessageAnswer
	messageWrongCode   = "That code was not accepted. Enter a new verification code."
	messageNumber      = "Type %s in your authenticator, then press OK here."
	messageNumberCode  = "Type %s in your authenticator, then press OK here, or enter a verification code."
	messageApprove     = "Approve the request on your device, then press OK."
	messageApproveCode = "Approve the request on your device, then press OK, or enter a verification code."
	messageApproveBad  = "That code was not accepted. Approve the request and press OK, or enter a new code."
	messageDeviceCode  = "Approve the request on your device, then enter the code that it shows."
	messageDeviceBad   = "That code was not accepted. Enter the code that your device shows."
	messageAnother     = "Another request is open on your device. Answer it, then press OK."
	messageNumberWrong = "That code was not accepted. Type %s in your authenticator and press OK, or enter a new code."
)

// askText is the text of a challenge, except of a question, whose text is its own.
func askText(a *mfa.Ask) string {
	switch {
	case a.Kind == mfa.AskCode && a.Wrong:
		return messageWrongCode
	case a.Kind == mfa.AskCode:
		return messageEnterCode
	case a.Kind == mfa.AskOther:
		return messageAnother
	case a.Kind == mfa.AskDeviceCode && a.Wrong:
		return messageDeviceBad
	case a.Kind == mfa.AskDeviceCode:
		return messageDeviceCode
	case a.Kind == mfa.AskNumber && a.Wrong:
		return fmt.Sprintf(messageNumberWrong, a.Number)
	case a.Kind == mfa.AskNumber && a.Codes:
		return fmt.Sprintf(messageNumberCode, a.Number)
	case a.Kind == mfa.AskNumber:
		return fmt.Sprintf(messageNumber, a.Number)
	case a.Kind == mfa.AskApprove && a.Wrong:
		return messageApproveBad
	case a.Kind == mfa.AskApprove && a.Codes:
		return messageApproveCode
	case a.Kind == mfa.AskApprove:
		return messageApprove
	}
	return messageAnswer
}

// accountMessages are what a directory tells only after a right password.
var accountMessages = map[mfa.Reason]string{
	mfa.ReasonPasswordExpired:  "Your password has expired. Change it, then sign in again.",
	mfa.ReasonMustChange:       "You must change your password before you can sign in here.",
	mfa.ReasonAccountDisabled:  "Your account is disabled. Contact your help desk.",
	mfa.ReasonAccountExpired:   "Your account has expired. Contact your help desk.",
	mfa.ReasonAccountLocked:    "Your account is locked. Try again later or contact your help desk.",
	mfa.ReasonLogonHours:       "You may not sign in at this time.",
	mfa.ReasonLogonWorkstation: "You may not sign in from here.",
	mfa.ReasonNoDialIn:         "Your account may not sign in over this service.",
}

// rejection is the reason of a primary's ErrRejected, and what the user may be
// told of it: nothing (an empty message) unless the password was right.
func rejection(err error) (mfa.Reason, string) {
	var account *mfa.AccountError
	if !errors.As(err, &account) {
		return mfa.ReasonWrongPassword, ""
	}
	message := ""
	if account.Proven {
		message = accountMessages[account.Reason]
	}
	return account.Reason, message
}

// npsResults are the result codes that the NPS extension logs for the same
// outcome, so that searches written for its events go on finding them.
var npsResults = map[mfa.Reason]string{
	mfa.ReasonWrongCode:        "OathCodeIncorrect",
	mfa.ReasonCodeUsed:         "OathCodeDuplicate",
	mfa.ReasonCodesLocked:      "OathCodeFailedMaxAllowedRetryReached",
	mfa.ReasonPushDenied:       "PhoneAppDenied",
	mfa.ReasonNotMe:            "PhoneAppFraudReported",
	mfa.ReasonWrongNumber:      "PhoneAppEntropyIncorrect",
	mfa.ReasonPushNoResponse:   "PhoneAppNoResponse",
	mfa.ReasonNASTimeout:       "PhoneAppNoResponse",
	mfa.ReasonPushLimited:      "AuthenticationThrottled",
	mfa.ReasonChallengeExpired: "InvalidSession",
	mfa.ReasonUserBlocked:      "UserIsBlocked",
	mfa.ReasonUnknownUser:      "UserNotFound",
	mfa.ReasonNotRegistered:    "AuthenticationMethodNotConfigured",
	mfa.ReasonNoUsableMethod:   "AuthenticationMethodNotSupported",
}

// npsText is the event text where the NPS extension has one: its result code, by
// which searches that were made for it find the event, without the name of a product
// that most sites never had.
func npsText(reason mfa.Reason, user mfa.Name) string {
	if reason == mfa.ReasonOTPUnsupported {
		return "Challenge requested in Authentication Ext for User " + user.String()
	}
	if code, ok := npsResults[reason]; ok {
		return "Access Rejected for user " + user.String() + " with MFA response: " + code
	}
	return ""
}
