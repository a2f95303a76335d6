// Package web is the HTTP side of radmatch: the device protocol, version 1 and
// 2, as docs/device-protocol.md describes it, and the authenticator in the
// folder page: plain files without a build step, which a browser runs as a
// device. The package decides nothing: decisions go to push.Approver, enrolments to
// device.Store. Its own knowledge is WebAuthn (Level 3; passkey.go, the only file
// that knows the library) and the places of addresses (places.go).
//
// cmd/radmatch makes one Server, which outlives every reload, and serves its Handler
// at the door that is package front. Besides net/http's goroutines it starts
// one an event stream, and one while a database of places is read again. One
// mutex each guards the open event streams, the nonces that devices have used
// and, on the only server of a site, the passkeys that were offered; none is held over a call.
//
// Everybody can reach this package, so every table in it is bounded and every
// read has a size and a time. Server-sent events are those of the HTML standard,
// §9.2.
package web
