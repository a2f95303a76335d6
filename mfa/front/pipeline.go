package front

import (
	"io"
	"net/http"
	"syscall"
)

// A client that sends its next request before it has the answer to the one before
// (RFC 9112 §9.3.2) keeps its goroutine busy without a rest: some hundred of them
// leave RADIUS no processor. No browser, device or proxy does that, and it is
// nothing that a server must bear: the connection ends.

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if c.hasty.Load() {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	if n > 0 && len(p) > 1 { // net/http looks for the end of the peer by one octet
		c.reads.Add(1)
	}
	return n, err
}

// ending notes that a body was read to its end.
type ending struct {
	io.ReadCloser
	over bool
}

// Read implements io.Reader.
func (b *ending) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.over = b.over || err == io.EOF
	return n, err
}

// begin reports whether a request came after the answer to the one before: if not,
// nothing has been read since that began, and both came together.
func (c *conn) begin() bool {
	n := c.reads.Load()
	waited := n != c.served
	c.served = n
	return waited
}

// waiting reports whether the socket has something that nobody has read.
func (c *conn) waiting() bool {
	s, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	// Not Read, which waits for a read that is under way.
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		if n, _, err = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT); err != nil {
			n = 0
		}
	})
	return err == nil && n > 0
}

// hasty is what such a client is told, in the form of the device protocol.
const hasty = `{"error":"bad_request","message":"Send a request after the answer to the one before."}` + "\n"

// oneAtATime ends a connection whose client does not wait for its answers.
func oneAtATime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := connOf(r)
		if c == nil {
			next.ServeHTTP(w, r)
			return
		}
		if !c.begin() {
			w.Header().Set("Connection", "close")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, hasty) // an error is the connection's
			return
		}
		body := &ending{ReadCloser: r.Body, over: r.ContentLength == 0}
		if !body.over {
			r.Body = body
		}
		next.ServeHTTP(w, r)
		// Octets that are there before a body is over may be the rest of it.
		if body.over && c.waiting() {
			c.hasty.Store(true)
		}
	})
}
