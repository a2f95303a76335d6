// Package listen is the transports of the RADIUS server: how packets get to it and
// answers back. Each hands a [radius.Arrival] to [radius.Server.Receive] and takes
// answers as its [radius.Sender]; behind that nothing knows a socket. [UDP] is the
// one that there is.
//
// Goroutines: one reader a socket. The server's Shutdown closes what it was given.
//
// RFC 2865 §3 (UDP, the source of an answer).
package listen
