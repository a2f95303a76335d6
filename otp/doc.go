// Package otp verifies and enrols passcodes: TOTP (RFC 6238), HOTP (RFC 4226)
// and Temporary Access Passes. It does no I/O but through its Store seam, and
// never logs.
//
// Verifier is called by the engine, from any goroutine; it starts none. It has
// one mutex, for what it remembers of tokens that are resynchronising, and
// holds it over no call. That a code verifies at most once is the user's
// log (mfa.Ledger), not the Verifier's: the Verifier finds the step that a code
// belongs to.
//
// The enrolment half (NewTOTP, NewPass, ReadCSV …) is pure and is called by the
// commands.
package otp
