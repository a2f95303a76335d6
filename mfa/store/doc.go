// Package store is what radmatch keeps: users, tokens, devices, blocks, bypasses,
// the audit trail. It implements the small stores that otp, mfa/device, mfa and
// radius ask for; cmd/radmatch opens it, for the server and for each command. Here are
// the memory of a server, the logs of the users, the write queue, and what operations and
// queries mean; the database is a Backend (packages sqlite and postgres), and package seal
// seals the tokens' secrets.
//
// The server answers reads from memory. What a login decides is an entry of its user's log
// (Append): one row that carries the used step, the wrong codes, the open prompt or its end,
// in group commits that are synced to disk. It is written only on the version of the user
// that it was decided on. Memory follows it after the commit, and is rebuilt from the rows
// at start.
// What NAS devices report of sessions is in a table of its own, with ids of the
// same sequence, and shares commits, folding and pruning.
//
// Each other change is made of operations (package op), which Store.Apply applies in
// one commit with their event. Commands make them beside the server, which looks for
// changes every 20 ms.
//
// Goroutines of a server: the writer (rows that no caller commits), the poller (changes
// by other processes), the janitor (folding, pruning, what may be written
// later). Locks: wmu is held by the goroutine that writes the database or replaces
// accounts in memory; mu guards the maps and what is in them and is never held
// over a call; ledger.mu guards the versions of the users, queue.mu the queue, marks.mu what
// tells a report from its retransmission. wmu is taken before the others, marks.mu before
// queue.mu.
package store
