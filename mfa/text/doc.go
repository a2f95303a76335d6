// Package text makes texts from outside fit for where they are used: [Printable]
// and [ForLog] for where they are shown, [Cut] and [Short] for where room is
// limited, [SplitLogin] for names. It has no goroutine, and imports nothing of
// ours, so that every package may use it.
package text
