package mfa

import (
	"errors"
)

// The errors of every seam. A result is an error, never (bool, error), so that
// a forgotten check cannot accept. Any error that is none of these means that
// no answer was had. All of them deny; only ErrRejected counts against the user.
var (
	// ErrRejected: the factor was examined and is wrong.
	ErrRejected = errors.New("factor rejected")
	// ErrUnsupported: the credential cannot be examined here at all.
	ErrUnsupported = errors.New("credential not supported")
	// ErrNotMe: the user says that someone else signs in. Always joined with ErrRejected.
	ErrNotMe = errors.New("reported by the user")
	// ErrWrongNumber: the device was given another number than the prompt shows.
	// Always joined with ErrRejected.
	ErrWrongNumber = errors.New("wrong number")
	// ErrCodeUsed: the code is right but was accepted before. Always joined with ErrRejected.
	ErrCodeUsed = errors.New("code already used")
)

// AccountError is a directory's refusal that says more than "wrong": it is an
// ErrRejected. Only where Proven, that is after a right password, may the user
// be told (rule 7); the text comes from the fixed list of message.go by Reason.
type AccountError struct {
	Reason Reason // password_expired, must_change_password, account_disabled, account_expired, account_locked, logon_hours, logon_workstation, account_restricted, no_dial_in, reply_invalid
	Proven bool   // the password was right
	Err    error  // what the directory said, for the log
}

func (e *AccountError) Error() string { return string(e.Reason) + ": " + e.Err.Error() }

// Is makes every AccountError an ErrRejected.
func (e *AccountError) Is(target error) bool { return target == ErrRejected }

// Unwrap returns what the directory said.
func (e *AccountError) Unwrap() error { return e.Err }

// UserError is an error of a primary together with the name by which it knows the
// user: however the name was spelled, a wrong password counts for that one. Of a user
// whom it does not know it has what its rules make of the name, so that nobody
// learns from the count who exists.
type UserError struct {
	User Name
	Err  error
}

func (e *UserError) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e *UserError) Unwrap() error { return e.Err }

// UserOf is the name that an error of a primary tells, or the one that was typed.
func UserOf(err error, typed Name) Name {
	var of *UserError
	if errors.As(err, &of) && !of.User.IsZero() {
		return of.User
	}
	return typed
}

// MessageAnswer stands for a primary's question that has no text.
const MessageAnswer = "Enter your response."

// PrimaryChallenge is a primary's own question, as the error of Check or
// Continue. Anyone who ignores it denies.
type PrimaryChallenge struct {
	Message string // for the user: cut and escaped by who made it
	Echo    bool   // the answer may be shown while it is typed (Prompt, RFC 2869 §5.10)
	// Carry is the primary's own: State and server of an upstream. It is handed
	// back to Continue as it is and never leaves the process.
	Carry any
}

func (*PrimaryChallenge) Error() string { return "the primary asks for more" }

// ConnectError is the first step towards a server that failed.
type ConnectError struct {
	Server string // as configured
	Step   string // dns, connect, tls, bind, search and the like
	Err    error
	Hint   string // what the operator can do; may be empty
}

func (e *ConnectError) Error() string { return e.Server + ": " + e.Step + ": " + e.Err.Error() }

// Unwrap returns what went wrong.
func (e *ConnectError) Unwrap() error { return e.Err }
