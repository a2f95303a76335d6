// Package sqlite keeps what package store holds in one SQLite file in data_dir, and implements
// store.Backend. Here is the trail; the rest is in package sqlstore.
//
// The trail is append-only and has no index on the path of a login; Fold brings its rows into
// tokens and the index by user while no login comes. Tokens that are read have the uses of
// the rows that are not folded replayed over them.
//
// The path of a login is Append. It speaks to the driver's own connection (driver.Conn) with
// prepared statements, without database/sql, which costs as much again as the insert itself.
// Everything else goes through database/sql. Leave that as it is unless `make bench` says
// otherwise (docs/runtime.md, "What was measured").
//
// Processes that work beside each other: the server holds a lock on a file; each change by
// anybody leaves a line in the table `changes`, which the server looks for, and it writes
// into the file `applied` up to where its memory has them.
package sqlite
