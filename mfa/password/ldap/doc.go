// Package ldap is the primary that asks a directory: Active Directory, OpenLDAP or
// another one. [Primary.Check] searches the user with an account of its own, then
// binds as the user, and reads groups and reply attributes.
//
// A Primary owns connections (package conn): a bounded pool for searches, bound as the
// service account, and another for the binds of users; no connection goes from one to
// the other. Everything has a timeout, and the number of checks that wait is
// bounded, so that a directory that hangs costs neither memory nor the logins of
// other primaries. What it remembers, wrong passwords for some seconds and which
// groups are in which, is only in memory. Mutexes guard these tables, and
// none is held while the network is waited for.
//
// The package starts no goroutine that lasts. MS-CHAPv2 of Active Directory is examined
// by package winbind.
//
// Standards: RFC 4511 to 4519, MS-ADTS for Active Directory, and
// draft-behera-ldap-password-policy for OpenLDAP.
package ldap
