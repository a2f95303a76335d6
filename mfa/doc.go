// Package mfa is the domain: what a login is, what policy decides for it, and
// how it waits for a person. It knows no transport and imports the standard
// library alone.
package mfa
