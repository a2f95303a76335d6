package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/front"
	"github.com/radmatch/radmatch/mfa/textfile"
)

// webDoor is the door for browsers and devices: listen.web, with TLS or without,
// and where ACME wants one a listener for its challenges.
type webDoor struct {
	server     *http.Server
	listener   net.Listener
	proxies    []netip.Prefix // believed about who is behind them
	conns      int            // at once
	pair       *front.KeyPair // nil: no certificate files
	acme       *front.ACME    // nil: no ACME
	challenges *http.Server   // nil: no HTTP-01
	plain      net.Listener   // of challenges
}

// challengeConns is how many connections the listener of ACME's challenges has at
// once: an authority needs a handful.
const challengeConns = 64

// connLimit is how many connections listen.web has at once. A tenth of the
// process's descriptors, and no fewer than 256, belong to the database, RADIUS and
// the connections to the directory.
func connLimit() int {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return front.MaxConns
	}
	n := int(min(files.Cur, 1<<20))
	return max(64, min(front.MaxConns, n-max(256, n/10)))
}

// streamLimit is how many of the connections may be event streams.
func streamLimit(conns int) int { return conns * 4 / 5 }

// openFront listens, and serves nothing yet. shared keeps the certificates of all nodes; nil:
// this is the only server.
func openFront(ctx context.Context, cfg *config.Config, shared front.Certificates, handler http.Handler, log *zap.Logger) (*webDoor, error) {
	f := &webDoor{server: front.NewHTTPServer(handler, log), proxies: cfg.Web.TrustedProxies, conns: connLimit()}
	t := cfg.Web.TLS
	var err error
	switch {
	case t.Files():
		if f.pair, err = front.OpenKeyPair(t.CertFile, t.KeyFile, log); err != nil {
			err = fmt.Errorf("%s: %w", cfg.Where("web.tls.cert_file"), err)
			return nil, &console.ExitError{Code: console.ExitConfig, Err: err, Hint: "radmatch check"}
		}
		f.server.TLSConfig = front.TLSConfig(f.pair.Certificate)
	case t.On():
		if f.acme, err = newACME(cfg, shared, log); err != nil {
			return nil, &console.ExitError{Code: console.ExitConfig, Err: err, Hint: "radmatch check"}
		}
		f.server.TLSConfig = f.acme.TLSConfig()
	}
	if f.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen.Web); err != nil {
		return nil, console.WithHint(ListenHint(err, "listen.web"), err)
	}
	if t.ACME.HTTPListen == "" || f.acme == nil {
		return f, nil
	}
	f.challenges = front.NewHTTPServer(f.acme.Challenges(http.RedirectHandler(cfg.PublicURL(), http.StatusFound)), log)
	if f.plain, err = (&net.ListenConfig{}).Listen(ctx, "tcp", t.ACME.HTTPListen); err != nil {
		f.listener.Close()
		return nil, console.WithHint(ListenHint(err, "web.tls.acme.http_listen"), err)
	}
	return f, nil
}

// newACME is the authority of the configuration.
func newACME(cfg *config.Config, shared front.Certificates, log *zap.Logger) (*front.ACME, error) {
	c := cfg.Web.TLS.ACME
	a := &front.ACME{Domains: c.Domains, Email: c.Email, Directory: c.Directory, Folder: filepath.Join(cfg.DataDir, "acme"), Shared: shared, Logger: log}
	if c.CAFile != "" {
		roots, err := textfile.Roots(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", cfg.Where("web.tls.acme.ca_file"), err)
		}
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		a.Transport = transport
	}
	return front.NewACME(a), nil
}

// secure reports whether it serves https. The server's own TLSConfig says that
// only until it serves: net/http fills it in for plain HTTP too.
func (f *webDoor) secure() bool { return f.pair != nil || f.acme != nil }

// serve serves until close. An error that ends a listener before goes to failed.
func (f *webDoor) serve(failed chan<- error) {
	go func() {
		l := front.LimitListener(f.listener, f.proxies, f.conns)
		serve := f.server.Serve
		if f.secure() {
			serve = func(l net.Listener) error { return f.server.ServeTLS(l, "", "") }
		}
		if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("web: %w", err)
		}
	}()
	if f.challenges == nil {
		return
	}
	go func() {
		if err := f.challenges.Serve(front.LimitListener(f.plain, nil, challengeConns)); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("web: %w", err)
		}
	}()
}

// start runs what works beside the listeners until ctx ends.
func (f *webDoor) start(ctx context.Context, w *sync.WaitGroup) {
	if f.acme != nil {
		w.Go(func() { f.acme.Run(ctx) })
	}
}

// reload reads the certificate again; the log says how that went.
func (f *webDoor) reload() {
	if f.pair != nil {
		f.pair.Reload()
	}
}

// lastAnswers is how long the pages may take for what they answer when the server ends.
const lastAnswers = 2 * time.Second

// close ends all connections.
func (f *webDoor) close() {
	// A device whose decision has ended the last login that waited is told so.
	ctx, cancel := context.WithTimeout(context.Background(), lastAnswers)
	defer cancel()
	if f.server.Shutdown(ctx) != nil {
		f.server.Close()
	}
	f.listener.Close()
	if f.challenges != nil {
		f.challenges.Close()
		f.plain.Close()
	}
}
