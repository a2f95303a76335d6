// Package webpush notifies phones when a prompt opens (RFC 8030, 8188, 8291, 8292): it
// only says that something waits. Messages go to the push services of browsers, no
// host but those of the operator's list.
//
// Sender.Run has a fixed number of goroutines for each push service, and a bounded
// number of timers. A mutex for each service guards what its log has been told; the
// queues are channels.
package webpush
