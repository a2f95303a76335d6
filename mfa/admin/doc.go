// Package admin is what operators may do and the rules of it: block and unblock
// users, register and remove tokens, passes and devices, begin and end bypasses,
// unlatch clients. The command line is the one door to it today; an API would call
// the same methods.
//
// Every operation that changes something is given an [Actor] and writes one event in
// the commit of the change, with who made it and, where that is worth knowing, what
// was there before. It is on disk, and in force in the running server, when the
// operation returns. An operation that returns an error has changed nothing, except
// where it says so, and where the error is the store's that the server has not seen the
// change: then it is on disk.
//
// Which user is meant is a matter of its own: an operator types what they know a user
// by, and a method counts for the name that a primary returns at a login. [Resolver]
// asks the primaries, as a login would; the operations take the name that it returns.
package admin
