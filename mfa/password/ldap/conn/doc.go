// Package conn is the connections to the servers of one directory: which server is used
// while others are down, a bounded [Pool] of connections for each [Use], and binds and
// searches that end with their context. Package ldap says what is searched, and what
// an answer means for a login.
//
// It is the only package that knows the LDAP library, which runs two goroutines for each
// connection. The package starts none that lasts. The pool's mutex is not held while the
// network is waited for.
//
// RFC 4511 to 4515, and draft-behera-ldap-password-policy for OpenLDAP.
package conn
