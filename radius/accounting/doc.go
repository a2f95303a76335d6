// Package accounting is what becomes of the reports that a NAS sends of its sessions
// (RFC 2866): what a report says, which login its session belongs to, and the copies
// that go to other servers. No login depends on it. Package radius takes the reports
// in, has them recorded, and acknowledges them.
//
// A session is joined to its login by the Class that its Access-Accept carried
// ([ClassOf], [LoginOfClass]), or, where the device does not send that back, by its
// Acct-Session-Id ([Sessions]). A [Forwarder] sends copies on.
//
// Goroutines: a Forwarder has eight, so that what it forwards of one session stays in
// its order. Locks: one in Sessions, which is never held over a call.
package accounting
