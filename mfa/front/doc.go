// Package front is the HTTP door to the internet: TLS with certificates from files or
// by ACME (RFC 8555, TLS-ALPN-01 of RFC 8737), and what keeps unknown callers from taking
// all of it: limits of connections, rates by address, times and sizes, one request at
// a time on a connection (RFC 9112 §9.3.2), and whom a trusted proxy speaks for. It
// serves any handler and knows no page.
//
// LimitListener and NewHTTPServer work together: what a handler has found to come
// from a device it says by Vouch, and the connection is no unknown caller's from then on.
//
// Besides net/http's goroutines there is ACME.Run, which has one for each order.
// One mutex each guards the connections, a table of rates, a pair of files and what
// ACME has; none is held over a call to another machine. Every table is bounded.
package front
