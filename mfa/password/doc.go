// Package password holds the primaries that are not RADIUS: what checks the
// first factor of a login. A File is the users file, an LDAP a directory (Active
// Directory, OpenLDAP), a Sequence several of them in order. None checks nothing
// and only reads names, for an RD Gateway. Each implements mfa.PasswordChecker and
// is called by the engine alone.
//
// A File is immutable once open and holds no lock. What outlives reloads is the
// Gate, which bounds how many slow hashes run and wait at once.
//
// An LDAP owns connections: a bounded pool for searches, bound as the service
// account, and another for the binds of users; no connection goes from one to
// the other. Everything has a timeout, and the number of checks that wait is
// bounded, so that a directory that hangs costs neither memory nor the logins of
// other primaries. What it remembers, wrong passwords for some seconds and which
// groups are in which, is in memory alone. Only ldap.go knows the LDAP library,
// which runs two goroutines for each connection. MS-CHAPv2 of Active Directory is examined by
// winbind: ntlm keeps a bounded number of Samba's ntlm_auth running, with a
// goroutine that waits for the end of each, and one for each question that is out.
//
// Schemes of the file: argon2id (RFC 9106), bcrypt, SHA-512 crypt ($6$),
// {SSHA512} (RFC 2307 style) and {NT}. There MS-CHAPv2 (RFC 2759) can be examined
// for {NT} alone, because its response is computed from the NT hash itself.
// Directories: RFC 4511 to 4519, MS-ADTS for Active Directory.
package password
