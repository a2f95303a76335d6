// Package password holds the primaries that are not RADIUS: what checks the
// first factor of a login. Here it is the users file; a directory would be the
// next file beside it. It implements mfa.PasswordChecker and is called by the
// engine alone.
//
// A File is immutable once open and holds no lock: a reload opens another one.
// What outlives reloads is the Gate, which bounds how many slow hashes run and
// wait at once; it starts no goroutine.
//
// MS-CHAPv2 of Active Directory is examined by winbind: ntlm keeps a bounded
// number of Samba's ntlm_auth running, with a goroutine that waits for the end
// of each, and one for each question that is out.
//
// Schemes: argon2id (RFC 9106), bcrypt, SHA-512 crypt ($6$), {SSHA512}
// (RFC 2307 style) and {NT}. In a file MS-CHAPv2 (RFC 2759) can be examined for
// {NT} alone, because its response is computed from the NT hash itself.
package password
