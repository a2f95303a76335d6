// Package login is the login machine: how a login goes from its first packet to its
// event, and how it waits for its user. It knows no transport; what it needs from
// outside are the interfaces of package mfa.
//
// [Engine.Authenticate] is one login from top to bottom: engine.go goes from the first
// packet to what is asked, by way of primary.go, and decide.go from the answer, or the
// device, to what becomes of the login. [Pending] is the table in between, with the
// States of challenges in challenge.go, and settle.go is where a login ends. An Engine
// is immutable.
//
// # The log of a user
//
// What is decided of a user is an entry of the user's log (mfa.Ledger): a prompt that is
// to be shown, a request that joins it, a wrong code, an approval, the end. It is appended only on
// the version that the decision was made on; where others came first, the decision is made
// again. Nothing is answered before its entry is on disk. [Engine.Apply] takes over every
// entry, also those of other nodes (fold.go): limits are what the entries say, and a login
// that waits here goes on with what was decided elsewhere.
//
// What lasts over a reload is in [Pending] (logins that wait, approvals that are
// remembered), [Limits] (guessing and fatigue) and [Refusals] (requests that opened
// no login).
//
// # Goroutines
//
// A request runs on its caller's goroutine until it is answered or waits; a
// packet that waits and a challenge that is out are records in Pending and own
// none, except for a timer where the NAS gives up sooner than the prompt. A live
// prompt owns one goroutine. Pending and Refusals have one each
// for what runs out. The goroutine that makes an entry holds the turn of its user; the mutexes
// guard tables and are never held over a call.
//
// # Standards
//
// Access-Challenge and State: RFC 2865 §4.4 and §5.24, RFC 5080 §2.1.1.
package login
