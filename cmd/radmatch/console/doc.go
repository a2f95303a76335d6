// Package console is what the commands of radmatch have in common as programs of a
// terminal: the streams that they read and write, passwords that are typed, JSON, QR
// codes, and the errors that they end with, each with its exit code and a hint.
package console
