// Package store is the one database: users, tokens, devices, blocks, bypasses,
// the audit trail. It is SQLite in data_dir, embedded, beside the key that seals the
// tokens' secrets. It implements the small stores that otp, mfa/device, mfa and
// radius ask for; cmd/radmatch opens it, for the server and for each command.
//
// The server answers reads from memory and adds one row a login, in group
// commits that are synced to disk. The row carries the used step; which steps
// are used is decided in memory, which is rebuilt from the rows at start.
// What NAS devices report of sessions is in a table of its own, with ids of the
// same sequence, and shares commits, folding and pruning.
// Commands write beside the server: each write leaves a line in the table
// `changes`, which the server looks for every 20 ms.
//
// Goroutines of a server: the writer (the queue of rows), the poller (changes
// by other processes), the janitor (folding, pruning, what may be written
// later). Locks: wmu is held by whoever writes the database or replaces
// accounts in memory; mu guards the maps and what is in them and is never held
// over a call; queue.mu guards the queue, marks.mu what tells a report from its
// retransmission, prompts.mu what is to be written about open prompts. wmu is taken before the others, marks.mu before queue.mu.
package store
