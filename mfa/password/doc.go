// Package password holds the primaries that are not RADIUS: what checks the first
// factor of a login. A File is the users file, a Sequence several primaries in
// order. None checks nothing and only reads names, for an RD Gateway. A directory
// is package ldap, below, which asks package winbind about MS-CHAPv2. Each primary
// implements mfa.PasswordChecker and is called only by the engine. What they share
// is here: the [Gate], the bounds, how names are read, and the NT hash.
//
// A File is immutable once open and holds no lock. What outlives reloads is the
// Gate, which bounds how many slow hashes run and wait at once.
//
// Schemes of the file: argon2id (RFC 9106), bcrypt, SHA-512 crypt ($6$),
// {SSHA512} (RFC 2307 style) and {NT}. There MS-CHAPv2 (RFC 2759) can be examined
// only for {NT}, because its response is computed from the NT hash itself.
package password
