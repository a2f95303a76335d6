package webtest

import "net"

// Listener accepts the connections that a test puts into it.
type Listener struct {
	Conns chan net.Conn
	done  chan struct{}
}

// NewListener returns a Listener that holds so many connections not yet accepted.
func NewListener(waiting int) *Listener {
	return &Listener{Conns: make(chan net.Conn, waiting), done: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.Conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It may be called again, by one goroutine at a time.
func (l *Listener) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return &net.TCPAddr{} }
