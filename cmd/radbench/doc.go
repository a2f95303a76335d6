// Command radbench measures radmatch beside FreeRADIUS 3.2 with files, pap and
// rlm_totp, doing the same logins: Access-Request with a password,
// Access-Challenge, Access-Request with a TOTP code, Access-Accept. Both have
// the same 100,000 users with NT hashes, demand and send Message-Authenticator,
// and keep their state themselves; radmatch also has each accepted step and
// event on disk before its Access-Accept leaves, which FreeRADIUS does not.
//
// A second part offers both, and FreeRADIUS that keeps as much in SQLite, a fixed number
// of logins a second, each counted from when it was due; a third offers radmatch 8,000
// a second for a minute and reports what is resident.
//
// It is what `make bench` runs. The load is `radmatch bench`, for both; both
// servers run all the time, and the runs take turns. What a server used is read
// from /proc. It prints each run, then the median of all pairs, and ends with 1
// if a login was lost, refused or accepted twice.
//
// A last part writes a trail of 2,000,000 events of 30 days, kills its server and measures
// how long a start takes, on SQLite and on PostgreSQL.
//
// With -offered it measures only the second and the third part, with -waiting only pushes that
// wait, with -start only the start.
// With -ldap, which is `make bench-ldap`, it measures the LDAP primary beside a
// bare client of the same OpenLDAP server instead; with -push, which is
// `make bench-push`, what users with devices wait for,
// without TLS or (-tls) with it.
package main
