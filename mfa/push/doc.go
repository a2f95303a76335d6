// Package push asks a person's devices to approve a sign-in.
//
// Approver serves our own devices: it holds the table of live prompts, in which
// Push waits and Decide ends the wait. mfa/web carries both to the devices over
// HTTP; docs/device-protocol.md is the description of that protocol, protocol.go
// its types and signatures, phone.go a client of it. Another provider is another
// file with another mfa.Pusher: ntfy.go and webhook.go, whose prompts wait in
// Callbacks; pushtest is the suite that each has to pass.
//
// WebPush rings phones when a prompt opens (webpush*.go; RFC 8030, 8188, 8291,
// 8292): it only says that something waits.
//
// The engine calls Push, one goroutine a prompt, which is all that a prompt
// costs, but for the request that withdraws it from another provider's server,
// which has a goroutine of its own. WebPush.Run has a fixed number for each push
// service, and a bounded number of timers. One mutex guards each table; nothing is
// called while it is held. The number of a prompt never leaves the package, the three to
// choose from of NtfyChoice excepted: the device sends what the person typed.
//
// Signatures are ECDSA over P-256 with SHA-256 (FIPS 186-5), as in WebCrypto.
package push
