// Package sqlstore keeps in a database of SQL what is off the path of a login: accounts,
// devices, bypasses, sealing keys, and the operations that change them. Its statements are
// the same for SQLite and PostgreSQL: $1 for a parameter, ON CONFLICT, RETURNING, usr for the
// key of a user. A statement that fails ends the transaction on PostgreSQL: what may be there
// already is left out by ON CONFLICT, and found by the number of rows.
//
// The audit trail, and how processes hear of each other's changes, is each database's own:
// packages sqlite and postgres, which are built on this one.
package sqlstore
