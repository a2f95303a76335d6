// Package upstream is the primary that asks other RADIUS servers. [Primary] asks them
// in their order, over connected sockets that it shares among logins, passes on what
// the NAS said of a login, and reads what an Access-Accept says of the user.
//
// Goroutines: one reader a socket, until it was idle for a while, and one probe for
// each server that is dead. Locks: one a server for its sockets, one for its health,
// one a socket for its identifiers; none is held over a call to the network.
//
// RFC 2865 (packets), 5080 §2.2.1 (retransmissions), 5997 §4.1 and 3539 §3.4.1
// (probes of a dead server), 2868 §3.5 and 2548 §2.4.2 (encrypted attributes).
package upstream
