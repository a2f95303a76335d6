// Package otptest is the conformance suite of otp.Store, and a store in memory
// for the tests of its callers.
package otptest
