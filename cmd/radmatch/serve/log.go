package serve

import (
	"io"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/config"
)

// logFlush is how long a line may wait in memory. The events are the record
// that must not be lost; the log is for readers.
const logFlush = 100 * time.Millisecond

// logMost is how many octets of lines wait.
const logMost = 256 << 10

// newLog returns the log on w, and its level, which a reload may change. It is
// unsampled: a line that is missing is worse than a line too many.
func newLog(c config.Log, w io.Writer) (*zap.Logger, zap.AtomicLevel) {
	level := zap.NewAtomicLevelAt(logLevel(c.Level))
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.ISO8601TimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	var encoder zapcore.Encoder
	if c.Format == "console" || c.Format == "auto" && console.IsTerminal(w) {
		enc.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(enc)
	} else {
		encoder = zapcore.NewJSONEncoder(enc)
	}
	return zap.New(zapcore.NewCore(encoder, &logBuffer{w: w}, level)), level
}

// logBuffer writes lines a little later, some at once: only while one waits it has a timer.
// It drops what cannot be written: a disk that was full must not end the log. It does not
// sync, which would compete with the events.
type logBuffer struct {
	w io.Writer

	mu    sync.Mutex
	lines []byte
	waits bool // the timer runs
}

// Write implements zapcore.WriteSyncer.
func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line...)
	switch {
	case len(b.lines) >= logMost:
		b.write()
	case !b.waits:
		b.waits = true
		time.AfterFunc(logFlush, b.flush)
	}
	return len(line), nil
}

// Sync implements zapcore.WriteSyncer: it writes what waits.
func (b *logBuffer) Sync() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.write()
	return nil
}

// flush is called by the timer.
func (b *logBuffer) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waits = false
	b.write()
}

// write is called with mu held.
func (b *logBuffer) write() {
	if len(b.lines) > 0 {
		_, _ = b.w.Write(b.lines)
		b.lines = b.lines[:0]
	}
}

// logLevel reads a level that the configuration has checked.
func logLevel(s string) zapcore.Level {
	l, err := zapcore.ParseLevel(s)
	if err != nil {
		return zapcore.InfoLevel
	}
	return l
}
