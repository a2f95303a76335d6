// Package postgres keeps what package store holds in a PostgreSQL database that several nodes
// share, and implements store.Backend and what mfa.Site needs. Here is what is of the trail and
// of the nodes; the rest is in package sqlstore.
//
// A user is a numbered log: the unique index (usr, seq) of table events lets one entry be the
// next. A batch of the writer is one statement (append.go), whose counter in table nodes says
// after a broken connection whether it was committed. Nothing is guessed: a commit that the
// server has not confirmed, or a standby has not, counts once a later one was confirmed.
//
// Each start of a server is a run; its rows have rising numbers n and become visible in their
// order, since a run has one writer. So a place in each run is enough to miss nothing
// (feed.go). Commands write as run 0, one after the other, by the lock on its row in nodes.
//
// Another timeline is another primary: what memory had is void until it was read anew
// (Load), and where the last commits may be lost, codes of before count as used
// (connect.go, accounts.go).
package postgres
