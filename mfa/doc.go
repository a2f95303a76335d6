// Package mfa is the domain: what a login is and what policy decides for it. It has
// the types, the seams and the events that the other packages share. It knows no
// transport and imports only the standard library, except for the forms of names.
//
// [Decide] is the plan of a login, a table whose lines are tried in order. The
// interfaces of mfa.go and prompt.go are what package login needs from outside.
// Nothing here has a goroutine or a lock.
package mfa
