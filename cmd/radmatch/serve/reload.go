package serve

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"strings"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/radius"
)

// serving is what the server tells commands about itself.
type serving struct {
	st  *store.Store
	log *zap.Logger
	datadir.Serving
}

// newServing tells them what is served from now on.
func newServing(cfg *config.Config, fingerprint string, st *store.Store, log *zap.Logger) *serving {
	s := &serving{st: st, log: log, Serving: datadir.Serving{
		PID: os.Getpid(), Node: providers.NodeName(cfg), Program: providers.Program(), Config: fingerprint, Clients: len(cfg.Clients),
	}}
	for _, l := range Listens(cfg) {
		s.Listens = append(s.Listens, l.String())
	}
	s.loadKeys()
	s.announce()
	return s
}

func (s *serving) announce() {
	if err := s.st.Announce(s.Serving); err != nil {
		s.log.Warn("commands cannot see what is served", zap.Error(err))
	}
}

// loadKeys reads the sealing keys again: one may have been prepared. Where that fails, those
// that are known stay.
func (s *serving) loadKeys() {
	names, err := s.st.LoadKeys()
	if err != nil {
		s.log.Error("the sealing keys cannot be read again; those that were read stay", zap.Error(err))
		return
	}
	s.Keys = names
}

// reload goes on with the configuration as it is now, or with the old one where
// it is broken; the log says so, and s. started is what the server was started with.
func reload(load func() (*config.Config, error), started *config.Config, l *lasting, server *radius.Server, level zap.AtomicLevel, s *serving) {
	s.Reloads++
	s.Problems, s.Restart = nil, nil
	defer s.announce()
	s.loadKeys()
	next, err := rebuild(load, l, server)
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			s.Problems = append(s.Problems, strings.TrimSpace(line))
			l.Log.Error("reload failed, the old configuration stays", zap.String("problem", strings.TrimSpace(line)))
		}
		return
	}
	s.Clients, s.Config, s.Restart = len(next.Clients), next.Fingerprint(), needsRestart(started, next)
	for _, key := range s.Restart {
		l.Log.Warn("this key takes effect at the next start", zap.String("key", key))
	}
	level.SetLevel(logLevel(next.Log.Level))
	l.Log.Info("reloaded", zap.Int("clients", len(next.Clients)))
	tryDirectories(next, l.serving, l.Log)
}

// rebuild builds everything anew and swaps it in at once, or changes nothing.
func rebuild(load func() (*config.Config, error), l *lasting, server *radius.Server) (*config.Config, error) {
	next, err := load()
	if err != nil {
		return nil, err
	}
	service, err := newService(next, l)
	if err != nil {
		return nil, err
	}
	l.use(service.engine)
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
		l.Log.Warn("primaries do not close well", zap.Error(err))
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
	differs("store", old.Store, next.Store)
	differs("node", old.Node, next.Node)
	differs("seal", old.Seal, next.Seal)
	differs("web", old.Web, next.Web)
	differs("limits", old.Limits, next.Limits)
	if !reflect.DeepEqual(old.Accounting, next.Accounting) { // a secret does not print
		keys = append(keys, "accounting")
	}
	differs("events", old.Events, next.Events)
	differs("log.format", old.Log.Format, next.Log.Format)
	return keys
}

// tryDirectories says in the log which directory cannot be asked now: a server starts
// without it, and the first login would be the first to tell.
func tryDirectories(cfg *config.Config, built providers.Primaries, log *zap.Logger) {
	for _, e := range cfg.Primaries {
		primary := built[e.Name]
		directory, ok := primary.(mfa.Connector)
		if !ok || !primary.Abilities().TriedAtStart {
			continue
		}
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), providers.ConnectTime)
			defer cancel()
			for _, err := range providers.SplitErrors(directory.Connect(ctx)) {
				log.Warn("a directory cannot be asked now; logins will try it again",
					zap.String("primary", e.Name), zap.String("problem", text.Printable(err.Error(), 500)), zap.String("hint", providers.HintOf(err)))
			}
		}()
	}
}

// warnReload says what root has read and a server that has become the owner of
// data_dir cannot read again: until that is mended, each reload will fail.
func warnReload(load func() (*config.Config, error), log *zap.Logger) {
	_, err := load()
	if err == nil {
		return
	}
	for line := range strings.Lines(err.Error()) {
		log.Warn("reloads will fail: the owner of data_dir, who serves, cannot read what root has read",
			zap.String("problem", strings.TrimSpace(line)))
	}
}
