package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/process"
	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/login"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/otp"
	"github.com/radmatch/radmatch/radius"
	"github.com/radmatch/radmatch/radius/listen"
)

// DrainTime is how long logins that wait may still end after SIGTERM. It is
// below what service managers wait before they kill.
const DrainTime = 25 * time.Second

// Options are what Run needs beside the configuration that it begins with.
type Options struct {
	Load      func() (*config.Config, error) // reads it again, for a reload
	Log       io.Writer
	ReadyFile string // gets the bound addresses; empty: none
}

// Run is the wiring: configuration, store, what lasts, service, listeners;
// and at the end the same way back.
func Run(ctx context.Context, cfg *config.Config, o Options) error {
	// From the first moment to the last: a SIGHUP that nobody takes ends the
	// program, and with it every login that waits.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	log, level := newLog(cfg.Log, o.Log)
	defer log.Sync()
	if err := process.ForbidCores(); err != nil {
		return err
	}
	root := os.Geteuid() == 0
	if _, err := process.BecomeOwner(cfg.DataDir, true); err != nil {
		return err
	}
	if root && os.Geteuid() != 0 {
		warnReload(o.Load, log)
	}
	fingerprint := cfg.Fingerprint() // before the limits are fitted into this machine
	mem := process.NewMemory(connLimit())
	st, err := openServerStore(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer st.Close()
	if err := mem.Fit(cfg, log); err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		log.Warn("configuration", zap.Stringer("problem", w))
	}
	l, err := newLasting(ctx, cfg, st, log)
	if err != nil {
		return err
	}
	first, err := firstService(ctx, cfg, st, l)
	if err != nil {
		return err
	}
	defer l.closePrimaries()
	pages, err := newPages(cfg, l.Approver, st, log)
	if err != nil {
		return &console.ExitError{Code: console.ExitConfig, Err: err}
	}
	server, err := newRADIUS(ctx, cfg, st, log)
	if err != nil {
		return err
	}
	ready := &readiness{store: st, log: log}
	pages.Ready, server.Ready = ready.Ready, ready.Ready
	l.follow = st.Follow
	l.use(first.engine)
	if err := resume(ctx, first, st, l); err != nil {
		return err
	}
	server.Swap(first.Service)
	front, sockets, err := openListeners(ctx, cfg, st, server, routes(pages.Handler(), pages.Meter(l.Callbacks.Handler())), log)
	if err != nil {
		return err
	}
	// The load has peaked above what serving needs, above all with many users.
	debug.FreeOSMemory()
	if err := mem.Ready(); err != nil {
		front.close()
		return err
	}

	working, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	work := start(working, server, front, st, l)
	work.Go(func() { mem.Run(working) })
	failed := make(chan error, 2)
	front.serve(failed)
	state := newServing(cfg, fingerprint, st, log)
	err = announce(o.ReadyFile, sockets, front, log)
	if err == nil {
		tryDirectories(cfg, l.serving, log)
		err = wait(ctx, failed, hup, func() {
			front.reload()
			reload(o.Load, cfg, l, server, level, state)
		})
	}
	log.Info("stopping", zap.Int("waiting", l.pending.Len()), zap.Error(err))
	process.Tell("STOPPING=1")
	ready.drain()
	drain(ctx, l, server)
	pages.Close()
	front.close()
	stopWork()
	work.Wait()
	return err
}

// openServerStore opens the database as the one server that works with it.
func openServerStore(ctx context.Context, cfg *config.Config, log *zap.Logger) (*store.Store, error) {
	opt := providers.StoreOptions(cfg)
	opt.Server, opt.Logger, opt.Keep, opt.MaxSize = true, log, cfg.Events.Keep, int64(cfg.Events.MaxSize)
	st, err := store.Open(ctx, opt)
	if err != nil {
		if hinted := DamageHint(err); hinted != err {
			return nil, hinted
		}
		return nil, console.WithHint("radmatch check --connect", err)
	}
	clashes, err := st.Clashes(ctx)
	for _, c := range clashes {
		log.Warn("methods under other spellings of a user are not used: radmatch user show, then radmatch user unblock",
			zap.Stringer("user", c.User), zap.Strings("others", c.Others))
	}
	if err != nil {
		st.Close()
		return nil, err
	}
	return st, nil
}

// newRADIUS makes the RADIUS server.
func newRADIUS(ctx context.Context, cfg *config.Config, st *store.Store, log *zap.Logger) (*radius.Server, error) {
	server := &radius.Server{
		Logger: log, Latches: st,
		MaxPending: cfg.Limits.Pending, MaxPendingPerClient: cfg.Limits.PendingPerClient, MaxAttributes: cfg.Limits.Attributes,
	}
	var err error
	if server.Accounting, err = openAccounting(ctx, cfg, st, log); err != nil {
		return nil, err
	}
	return server, rememberUnsigned(ctx, server, st)
}

// routes keeps answers to other providers' prompts apart from our own pages:
// they come from other sites, and what they carry is authority enough.
func routes(pages, callbacks http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", pages)
	mux.Handle(push.CallbackPath, callbacks)
	return mux
}

// firstService makes the service that a server begins with. Wrong codes and denied prompts
// from before the start still count: they are read while the users files are.
func firstService(ctx context.Context, cfg *config.Config, st *store.Store, l *lasting) (*service, error) {
	restored := make(chan error, 1)
	go func() { restored <- RestoreLimits(ctx, st, cfg, l.limits) }()
	first, err := newService(cfg, l)
	failed := <-restored
	if err != nil {
		return nil, &console.ExitError{Code: console.ExitConfig, Err: err, Hint: "radmatch check --connect"}
	}
	l.serving = first.primaries
	if failed != nil {
		l.closePrimaries()
		return nil, failed
	}
	return first, nil
}

// newLasting makes what outlives reloads.
func newLasting(ctx context.Context, cfg *config.Config, st *store.Store, log *zap.Logger) (*lasting, error) {
	l := &lasting{
		Parts: providers.Parts{
			Gate: password.NewGate(), Approver: &push.Approver{Store: st, MaxPrompts: cfg.Limits.Pending},
			Callbacks: &push.Callbacks{MaxPrompts: cfg.Limits.Pending}, Registered: st, Log: log,
		},
		pending: &login.Pending{
			Journal: st, Ledger: st, Directory: st, Site: st.Site(), Max: cfg.Limits.Pending, MaxPerClient: cfg.Limits.PendingPerClient,
			Panicked: func(login string, v any, stack []byte) {
				log.Error("panic in a login", zap.String("login", login), zap.Any("panic", v), zap.ByteString("stack", stack))
			},
		},
		limits:    &login.Limits{},
		refusals:  &login.Refusals{Journal: st},
		directory: st,
		bypasses:  st,
		codes:     &otp.Verifier{Store: st},
	}
	if l.pending.Site != nil {
		l.Approver.Elsewhere = l.elsewhere
		l.limits.Others = st
	}
	var err error
	if l.Approver.WebPush, err = openWebPush(ctx, cfg, st, log); err != nil {
		return nil, &console.ExitError{Code: console.ExitConfig, Err: err, Hint: "radmatch check --connect"}
	}
	return l, nil
}

// RestoreLimits counts wrong codes and denied prompts from the audit trail, but
// not what an unblocking has forgiven.
func RestoreLimits(ctx context.Context, st *store.Store, cfg *config.Config, l *login.Limits) error {
	now := time.Now()
	lockout, fatigue := lockoutRule(cfg), fatigueRule(cfg)
	window := max(lockout.Window+lockout.For, fatigue.Window+fatigue.For)
	events, err := st.EventsSince(ctx, now.Add(-window))
	if err != nil {
		return err
	}
	unblocked := func(user mfa.Name) time.Time {
		u, failed := st.User(ctx, user)
		err = errors.Join(err, failed)
		return u.Unblocked
	}
	l.Restore(events, unblocked, login.Rules{Codes: lockout, Fatigue: fatigue, Prompts: promptsRule(cfg)}, now)
	if err != nil {
		return err
	}
	wrong, err := st.WrongCodes(ctx)
	l.RestoreCodes(wrong)
	return err
}

// resume goes on with the prompts of a server that was killed, and with what it had
// not answered. Their devices and clients cannot reach this one yet.
func resume(ctx context.Context, s *service, st *store.Store, l *lasting) error {
	now := time.Now()
	since := now.Add(-time.Minute)
	denied, err := st.EventsSince(ctx, since)
	if err != nil {
		return err
	}
	l.pending.RestoreDenied(denied, now)
	accepted, err := st.AcceptedSince(ctx, since)
	if err != nil {
		return err
	}
	l.pending.RestoreAccepted(accepted, now)
	open, err := st.OpenPrompts(ctx)
	if err != nil {
		return err
	}
	s.engine.Resume(ctx, open)
	return nil
}

// openListeners opens the listeners. Those of RADIUS serve from then on, until the
// server is shut down; front does not serve yet.
func openListeners(ctx context.Context, cfg *config.Config, st *store.Store, server *radius.Server, pages http.Handler, log *zap.Logger) (front *webDoor, sockets []*listen.UDP, err error) {
	if front, err = openFront(ctx, cfg, st.Certificates(), pages, log); err != nil {
		return nil, nil, err
	}
	logins := &listen.UDP{Server: server, Logger: log}
	if err := logins.Open(ctx, cfg.Listen.RADIUS); err != nil {
		front.close()
		return nil, nil, console.WithHint(ListenHint(err, "listen.radius"), err)
	}
	reports := &listen.UDP{Server: server, Accounting: true, Logger: log}
	if err := reports.Open(ctx, cfg.Listen.Accounting); err != nil {
		front.close()
		return nil, nil, console.WithHint(ListenHint(err, "listen.accounting"), err)
	}
	return front, []*listen.UDP{logins, reports}, nil
}

// wait waits until ctx ends or a listener fails, and calls reload on SIGHUP.
func wait(ctx context.Context, failed <-chan error, hup <-chan os.Signal, reload func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-hup:
			reload()
		}
	}
}

// start runs what works beside the listeners until ctx ends.
func start(ctx context.Context, server *radius.Server, front *webDoor, st *store.Store, l *lasting) *sync.WaitGroup {
	w := &sync.WaitGroup{}
	w.Go(func() { l.pending.Run(ctx) })
	w.Go(func() { l.refusals.Run(ctx) })
	w.Go(func() { keepStats(ctx, server, st, l.Log) })
	w.Go(func() { watchBypasses(ctx, st, l.Log) })
	if l.Approver.WebPush != nil {
		w.Go(func() { l.Approver.WebPush.Run(ctx) })
	}
	if a := server.Accounting; a != nil && a.Forwarder != nil {
		w.Go(func() { a.Forwarder.Run(ctx) })
	}
	front.start(ctx, w)
	return w
}

// drain lets waiting logins end, then ends the rest with an event each. The
// listeners go last, so that retransmissions still get their answers.
func drain(ctx context.Context, l *lasting, server *radius.Server) {
	l.pending.Drain()
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), DrainTime)
	defer cancel()
	if err := server.Shutdown(limit); err != nil {
		l.Log.Warn("logins were given up", zap.Int("waiting", l.pending.Len()), zap.Error(err))
	}
	l.pending.Close(context.WithoutCancel(ctx))
}

// announce says that the server is ready: in the log, to systemd, to scripts.
func announce(readyFile string, sockets []*listen.UDP, front *webDoor, log *zap.Logger) error {
	var text strings.Builder
	for _, u := range sockets {
		kind := "radius"
		if u.Accounting {
			kind = "accounting"
		}
		for _, addr := range u.Addrs() {
			log.Info("listening", zap.String(kind, addr.String()))
			fmt.Fprintf(&text, "%s %s\n", kind, addr)
		}
	}
	log.Info("listening", zap.Stringer("web", front.listener.Addr()), zap.Bool("tls", front.secure()))
	fmt.Fprintf(&text, "web %s\n", front.listener.Addr())
	if front.plain != nil {
		log.Info("listening", zap.Stringer("acme", front.plain.Addr()))
		fmt.Fprintf(&text, "acme %s\n", front.plain.Addr())
	}
	text.WriteString("end\n")
	if readyFile != "" {
		if err := os.WriteFile(readyFile, []byte(text.String()), 0o644); err != nil {
			return err
		}
	}
	process.Tell("READY=1")
	return nil
}

// DamageHint says where to read on when the database is damaged.
func DamageHint(err error) error {
	if errors.Is(err, store.ErrDamaged) || store.IsDamage(err) {
		return console.WithHint("restore the last backup, or recover what can be read: docs/backup.md, \"A damaged database\"", err)
	}
	return err
}
