// Package caller is the side of RADIUS that asks: [Caller] sends a query to one server
// until a valid answer comes (`radmatch login`, `radmatch bench`, the copies of
// accounting), and [Host] knows which of a server's addresses answers.
//
// Nothing here outlives a call. A Host has a lock for what it knows, which is not
// held while it asks the DNS.
//
// RFC 5080 §2.2.1 (retransmissions).
package caller
