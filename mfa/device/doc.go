// Package device is the device protocol: what a phone, a browser or a program that
// receives prompts says and signs, as docs/device-protocol.md describes it. It has
// the messages and signatures, devices with their passkeys, invitations and Web
// Push subscriptions, and the seams to where they are stored. It knows no live
// prompt and decides nothing: that is package push.
//
// Phone is a client of the protocol, which is `radmatch phone`; each of its calls,
// also Watch, runs on its caller's goroutine. Nothing here has another goroutine,
// or a lock.
//
// Signatures are ECDSA over P-256 with SHA-256 (FIPS 186-5), as in WebCrypto.
package device
