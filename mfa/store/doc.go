// Package store is what radmatch keeps: users, tokens, devices, blocks, bypasses,
// the audit trail. It implements the small stores that otp, mfa/device, mfa and
// radius ask for; cmd/radmatch opens it, for the server and for each command. Here are
// the memory of a server, the write queue, and what operations and queries mean; the
// database is a Backend (package sqlite), package prompts keeps the open ones, and package
// seal seals the tokens' secrets.
//
// The server answers reads from memory and adds one row a login, in group
// commits that are synced to disk. The row carries the used step; which steps
// are used is decided in memory, which is rebuilt from the rows at start.
// What NAS devices report of sessions is in a table of its own, with ids of the
// same sequence, and shares commits, folding and pruning.
//
// Each other change is made of operations (package op), which Store.Apply applies in
// one commit with their event. Commands make them beside the server, which looks for
// changes every 20 ms.
//
// Goroutines of a server: the writer (the queue of rows), the poller (changes
// by other processes), the janitor (folding, pruning, what may be written
// later). Locks: wmu is held by the goroutine that writes the database or replaces
// accounts in memory; mu guards the maps and what is in them and is never held
// over a call; queue.mu guards the queue, marks.mu what tells a report from its
// retransmission, and package prompts has one for what is to be written about them. wmu
// is taken before the others, marks.mu before queue.mu.
package store
