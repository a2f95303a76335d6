// Package command is the command line of radmatch: one file a command, which has the
// flags, a call, and what is printed. Rules of what may be done are in mfa/admin, and the
// wiring of the server is in serve.
//
// Main is the whole program; Run is one command line of it, without the process.
package command
