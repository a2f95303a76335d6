package mfa

import (
	"iter"
	"strings"
)

// AppendStyle is how users bring a passcode with the password.
type AppendStyle string

// The styles of the key append. The zero value is off.
const (
	AppendOff       AppendStyle = "off"
	AppendSuffix    AppendStyle = "suffix"    // password123456
	AppendDelimiter AppendStyle = "delimiter" // password,123456
)

// AppendedPush in the place of a passcode says that the user brings none. It
// never changes the plan.
const AppendedPush = "push"

// AppendsCode reports whether users can bring a passcode with the password.
func (c *Client) AppendsCode() bool {
	return c.StaticChallenge || c.Append == AppendSuffix || c.Append == AppendDelimiter
}

// Splits yields the ways to split typed in this client's style, the likeliest
// first. The longer code goes first: a password that ends in two digits is rarer
// than a user with an eight-digit token.
func (c *Client) Splits(typed string) iter.Seq2[string, string] {
	return func(yield func(password, tail string) bool) {
		if c.Append != AppendDelimiter && c.Append != AppendSuffix {
			return
		}
		if i := strings.LastIndex(typed, c.AppendDelimiter); i >= 0 {
			tail := typed[i+len(c.AppendDelimiter):]
			if c.Append == AppendDelimiter || strings.EqualFold(tail, AppendedPush) {
				yield(typed[:i], tail)
				return
			}
		}
		if c.Append != AppendSuffix {
			return
		}
		for _, n := range []int{8, 6} {
			if digits := trailingDigits(typed, n); digits && !yield(typed[:len(typed)-n], typed[len(typed)-n:]) {
				return
			}
		}
	}
}

// trailingDigits reports whether s ends in n ASCII digits.
func trailingDigits(s string, n int) bool {
	return len(s) >= n && strings.Trim(s[len(s)-n:], "0123456789") == ""
}
