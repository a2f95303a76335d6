// Package profile is what the makes of RADIUS clients can do: whether they show a
// prompt, how long they wait, where they say who the end user is, how long an answer
// they read. [All] is a table that is never written; nothing here has a goroutine or
// a lock.
package profile
