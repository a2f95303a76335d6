// Package explain says what would happen to a login of a user, for radmatch explain: which
// line of the plan decides at each client, for each way to send the password, and what
// the Access-Accept would carry.
package explain
