package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/front"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/textfile"
)

// servable builds what serve builds before it listens, and says why it would refuse
// to. It asks nothing outside of this machine and changes nothing.
func servable(cfg *config.Config) error {
	p, err := commandParts(cfg)
	if err != nil {
		return err
	}
	p.approver = &push.Approver{}
	service, err := newService(cfg, &lasting{parts: p})
	if err != nil {
		return err
	}
	_, err = webPushOptions(cfg)
	return errors.Join(err, service.primaries.Close(), pageFiles(cfg), dataDirProblem(cfg))
}

// pageFiles reads the files that the pages need.
func pageFiles(cfg *config.Config) error {
	var found []error
	t := cfg.Web.TLS
	if t.Files() {
		if _, err := front.ReadKeyPair(t.CertFile, t.KeyFile); err != nil {
			found = append(found, fmt.Errorf("%s: %w", cfg.Where("web.tls.cert_file"), err))
		}
	}
	if t.ACME.CAFile != "" {
		if _, err := textfile.Roots(t.ACME.CAFile); err != nil {
			found = append(found, fmt.Errorf("%s: %w", cfg.Where("web.tls.acme.ca_file"), err))
		}
	}
	_, places := openPlaces(cfg, zap.NewNop())
	_, passkeys := openPasskeys(cfg, nil)
	return errors.Join(append(found, places, passkeys)...)
}

// dataDirProblem says why a server that this user starts could not work in data_dir.
// A folder that belongs to another user is theirs to serve in.
func dataDirProblem(cfg *config.Config) error {
	dir, info, err := nearestFolder(cfg.DataDir)
	switch {
	case err != nil:
	case dir == cfg.DataDir && !own(info):
		return nil
	default:
		if err = unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
			err = &os.PathError{Op: "write to", Path: dir, Err: err}
		}
	}
	return dataDirError(cfg, err)
}

func dataDirError(cfg *config.Config, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: must be a folder that can be made and written to: %w", cfg.Where("data_dir"), err)
}

// nearestFolder returns path or, where it is not there yet, the folder in which the
// first one on the way to it would be made.
func nearestFolder(path string) (string, fs.FileInfo, error) {
	for {
		info, err := os.Stat(path)
		switch {
		case err == nil && !info.IsDir():
			return "", nil, &os.PathError{Op: "mkdir", Path: path, Err: syscall.ENOTDIR}
		case !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path):
			return path, info, err
		}
		path = filepath.Dir(path)
	}
}

// tryDataDir makes a folder for a moment where data_dir would be made.
func tryDataDir(cfg *config.Config) error {
	dir, _, err := nearestFolder(cfg.DataDir)
	if err == nil && dir != cfg.DataDir {
		if dir, err = os.MkdirTemp(dir, ".radmatch-check-"); err == nil {
			err = os.Remove(dir)
		}
	}
	return dataDirError(cfg, err)
}

// own reports whether a folder is this user's, or this user is root, who becomes
// its owner to work there.
func own(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || os.Geteuid() == 0 || int(st.Uid) == os.Geteuid()
}

// noteOwner says for whom the outcome of a check holds, where data_dir is another user's.
func (a *app) noteOwner(cfg *config.Config) {
	if info, err := os.Stat(cfg.DataDir); err == nil && !own(info) {
		a.find(foundNote, "", "data_dir "+cfg.DataDir+" belongs to another user, who alone can serve there: run check as that user too", "")
	}
}

// listenKey is one address of the configuration, with its key.
type listenKey struct{ key, network, address string }

func (l listenKey) String() string { return l.network + " " + l.address }

// listens are the addresses that a server of this configuration listens on.
func listens(cfg *config.Config) (list []listenKey) {
	for i, address := range cfg.Listen.RADIUS {
		list = append(list, listenKey{fmt.Sprintf("listen.radius[%d]", i), "udp", address})
	}
	for i, address := range cfg.Listen.Accounting {
		list = append(list, listenKey{fmt.Sprintf("listen.accounting[%d]", i), "udp", address})
	}
	list = append(list, listenKey{"listen.web", "tcp", cfg.Listen.Web})
	if t := cfg.Web.TLS; t.On() && !t.Files() && t.ACME.HTTPListen != "" {
		list = append(list, listenKey{"web.tls.acme.http_listen", "tcp", t.ACME.HTTPListen})
	}
	return list
}

// checkListen tries each address for a moment. One that the running server of this
// data_dir holds is left alone.
func (a *app) checkListen(ctx context.Context, cfg *config.Config) (failed bool) {
	running, _ := datadir.ReadServing(cfg.DataDir)
	for _, l := range listens(cfg) {
		if running != nil && running.Holds(l.network, l.address) {
			a.find(foundOK, l.key+" "+l.address, fmt.Sprintf("in use by the running server, process %d", running.PID), "")
			continue
		}
		if err := tryListen(ctx, l); err != nil {
			failed = true
			a.find(foundError, cfg.Where(l.key), fmt.Sprintf("cannot be listened on: %v", err), listenHint(err, l.key))
		}
	}
	return failed
}

// tryListen opens what the server would open, and closes it.
func tryListen(ctx context.Context, l listenKey) error {
	host, port, err := net.SplitHostPort(l.address)
	if err != nil {
		return err
	}
	hosts, network := []string{host}, l.network
	if host == "" && network == "udp" {
		hosts = []string{"0.0.0.0", "::"}
	}
	for i, host := range hosts {
		if network == "udp" { // one socket for each family, as the server has them
			l.network = "udp4"
			if strings.Contains(host, ":") {
				l.network = "udp6"
			}
		}
		at := net.JoinHostPort(host, port)
		if network == "udp" {
			var c net.PacketConn
			if c, err = (&net.ListenConfig{}).ListenPacket(ctx, l.network, at); err == nil {
				c.Close()
			}
		} else {
			var c net.Listener
			if c, err = (&net.ListenConfig{}).Listen(ctx, network, at); err == nil {
				c.Close()
			}
		}
		if err != nil && (i == 0 || !errors.Is(err, syscall.EAFNOSUPPORT)) {
			return err
		}
	}
	return nil
}

// listenHint says what to do about an address that cannot be listened on.
func listenHint(err error, key string) string {
	key, _, _ = strings.Cut(key, "[")
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program has the address (ss -lnp shows which): end it, or change " + key
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "a port below 1024 needs CAP_NET_BIND_SERVICE, as deploy/radmatch.service says: grant it, or change " + key
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no interface of this machine has the address: change " + key
	case errors.Is(err, syscall.EAFNOSUPPORT):
		return "this machine has no IPv6: change " + key
	}
	return "change " + key
}
