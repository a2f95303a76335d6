// Package record has what the store and its database hand each other: rows of the trail with
// their encoding, accounts as memory holds them, and which of them are asked for. It is plain
// data.
//
// An event is encoded by hand, and the few fields that most have not are JSON behind it: the
// row is written for every login. See docs/runtime.md, "What was measured".
package record
