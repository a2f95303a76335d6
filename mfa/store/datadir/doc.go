// Package datadir is the folder of a server: whose it is, which process serves it, and what
// that says of itself to commands.
package datadir
