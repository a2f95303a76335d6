// Package move copies what a server keeps from the embedded database to PostgreSQL, and back.
//
// The tables of SQLite are the form in between. A table that both databases have, with the
// same columns, is copied as it is; the others are listed with what becomes of them
// (sqliteTables, postgresTables). One that is not in the list ends the copy, so that a table
// that is added later cannot be forgotten.
//
// A copy is one transaction on PostgreSQL, and one file on SQLite that appears when it is
// whole. The database that was copied is put out of use last: at no time can both serve, and
// where the copy ends early it is the old one that does.
package move
