// Package push asks a user's devices to approve a sign-in.
//
// Approver serves our own devices: it holds the table of live prompts, in which
// Push waits and Decide ends the wait. What it says to devices and takes from them
// is package device; mfa/web carries both over HTTP. Another provider is another
// file with another mfa.Pusher: ntfy.go and webhook.go, whose prompts wait in
// Callbacks; pushtest is the suite that each has to pass.
//
// The engine calls Push, one goroutine a prompt, which is all that a prompt
// costs, except for the request that withdraws it from another provider's server,
// which has a goroutine of its own. One mutex guards each table; nothing is
// called while it is held. The number of a prompt never leaves the package, the three to
// choose from of NtfyChoice excepted: the device sends what the user typed.
package push
