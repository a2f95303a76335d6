// Package radius is the server that speaks RADIUS and holds no policy: the checks that
// a packet must pass, the client table, retransmissions and answers. How packets get
// here is in package listen, their octets are in package wire, what the makes of clients
// can do is in package profile, what reports of sessions say in package accounting, and
// the side that asks in packages caller and upstream.
//
// A packet has three names on its way: an [Arrival] as a transport hands it over, a
// wire.Request once it is read, and, when it is new and authentic, an exchange: all
// that its answer is made of, with the mfa.Request that the engine sees. How the
// request proves its user is the exchange's method: see package method.
//
// cmd/radmatch makes one [Server], swaps a [Service] into it at start and at
// every reload, and gets [Stats] from it. The server hands each new
// Access-Request to the Authenticator, and each Accounting-Request to the
// [Recorder], which has no say in logins.
//
// Goroutines: a transport's reader does the intake ([Server.Swap] is an atomic
// pointer, so that it takes no lock); a request that passed gets a goroutine
// until the Authenticator returns, and so has a report until it is on disk; a
// delayed Access-Reject is a timer. Locks: one a shard of the retransmission table,
// held for a look-up and never over a call.
//
// RFC 5080 §2.2 (duplicates, overload), 5997 (Status-Server), 2866 (accounting),
// draft-ietf-radext-deprecating-radius (Blast-RADIUS).
package radius
