// Package radius is everything that speaks RADIUS and holds no policy: sockets,
// the checks that a datagram must pass, the client table, retransmissions,
// signing, attributes, profiles, and the side of the client (upstream servers,
// `radmatch login`, `radmatch bench`).
//
// cmd/radmatch makes one [Server], swaps a [Service] into it at start and at
// every reload, and gets [Stats] from it. The server hands each new
// Access-Request to the Authenticator, and each Accounting-Request to the
// [Recorder], which has no say in logins; a [Forwarder] sends copies on.
//
// Goroutines: one reader a socket does the intake ([Server.Swap] is an atomic
// pointer, so that it takes no lock); a request that passed gets a goroutine
// until the Authenticator returns, and so has a report until it is on disk; a
// delayed Access-Reject is a timer; a Forwarder has eight of its own. Locks: one
// a shard of the retransmission table, held for a look-up and never over a call.
//
// RFC 2865 (packets), 2869 §5.14 and 3579 §3.2 (Message-Authenticator), 2868 and
// 2548 (tunnels, Microsoft), 2759 and 3079 (MS-CHAPv2, MPPE), 5080 §2.2 (duplicates,
// overload), 5997 (Status-Server), 2866 (accounting), draft-ietf-radext-deprecating-radius (Blast-RADIUS).
package radius
