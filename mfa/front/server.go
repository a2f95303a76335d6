package front

import (
	"net/http"
	"time"

	"go.uber.org/zap"
)

// RequestTimeout is how long it may take to read a request, and to write an answer
// or one event.
const RequestTimeout = 10 * time.Second

// The limits of what an unknown caller can send.
const (
	maxHeaderBytes = 16 << 10
	headerTimeout  = 5 * time.Second
	idleTimeout    = time.Minute // between two requests of a device or a proxy
	unknownIdle    = 5 * time.Second
)

// NewHTTPServer returns a server for h with limits on time and size that suit a
// front door and event streams. Errors of single connections go to log at debug
// level: they are mostly an unknown caller's.
func NewHTTPServer(h http.Handler, log *zap.Logger) *http.Server {
	if log == nil {
		log = zap.NewNop()
	}
	errorLog, err := zap.NewStdLogAt(log, zap.DebugLevel)
	if err != nil {
		panic("front: internal error: " + err.Error()) // only for an unknown level
	}
	// An event stream has a connection of its own, and gives net/http nothing to do
	// (see hijack in mfa/web). Over HTTP/2 it would stay there, three goroutines a device.
	http1 := new(http.Protocols)
	http1.SetHTTP1(true)
	return &http.Server{
		Handler:           oneAtATime(h),
		ConnContext:       withConn,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       RequestTimeout,
		WriteTimeout:      RequestTimeout, // a stream sets its own, write by write
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          errorLog,
		Protocols:         http1,
	}
}
