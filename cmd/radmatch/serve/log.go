package serve

import (
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/config"
)

// logFlush is how long a line may wait in memory. The events are the record
// that must not be lost; the log is for readers.
const logFlush = 100 * time.Millisecond

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
	sink := &zapcore.BufferedWriteSyncer{WS: zapcore.AddSync(logWriter{w}), FlushInterval: logFlush}
	return zap.New(zapcore.NewCore(encoder, sink, level)), level
}

// logWriter drops what cannot be written: the buffer before it would keep the
// first error, of a full disk say, and write nothing ever after. It has not the
// Sync of a file, which would compete with that of the events.
type logWriter struct{ w io.Writer }

func (l logWriter) Write(b []byte) (int, error) {
	_, _ = l.w.Write(b)
	return len(b), nil
}

// logLevel reads a level that the configuration has checked.
func logLevel(s string) zapcore.Level {
	l, err := zapcore.ParseLevel(s)
	if err != nil {
		return zapcore.InfoLevel
	}
	return l
}
