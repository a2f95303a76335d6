package main

import (
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/radius"
)

// reload goes on with the configuration as it is now, or with the old one where
// it is broken; the log says so. started is what the server was started with.
func (a *app) reload(started *config.Config, l *lasting, server *radius.Server, level zap.AtomicLevel) {
	next, err := a.rebuild(l, server)
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			l.log.Error("reload failed, the old configuration stays", zap.String("problem", strings.TrimSpace(line)))
		}
		return
	}
	for _, key := range needsRestart(started, next) {
		l.log.Warn("this key takes effect at the next start", zap.String("key", key))
	}
	level.SetLevel(logLevel(next.Log.Level))
	l.log.Info("reloaded", zap.Int("clients", len(next.Clients)))
}

// rebuild builds everything anew and swaps it in at once, or changes nothing.
func (a *app) rebuild(l *lasting, server *radius.Server) (*config.Config, error) {
	next, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	service, err := newService(next, l)
	if err != nil {
		return nil, err
	}
	server.Swap(service.Service)
	l.closePrimaries()
	l.serving = service.primaries
	debug.FreeOSMemory()
	return next, nil
}

// closePrimaries closes those that no new login uses. Logins that began before
// still may.
func (l *lasting) closePrimaries() {
	if err := l.serving.Close(); err != nil {
		l.log.Warn("primaries do not close well", zap.Error(err))
	}
}

// needsRestart lists the keys that differ and that a reload does not change.
func needsRestart(old, next *config.Config) []string {
	var keys []string
	differs := func(key string, a, b any) {
		if fmt.Sprint(a) != fmt.Sprint(b) {
			keys = append(keys, key)
		}
	}
	differs("listen", old.Listen, next.Listen)
	differs("data_dir", old.DataDir, next.DataDir)
	differs("web", old.Web, next.Web)
	differs("limits", old.Limits, next.Limits)
	if !reflect.DeepEqual(old.Accounting, next.Accounting) { // a secret does not print
		keys = append(keys, "accounting")
	}
	differs("events", old.Events, next.Events)
	differs("log.format", old.Log.Format, next.Log.Format)
	return keys
}
