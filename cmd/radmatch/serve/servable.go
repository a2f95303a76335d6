package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/front"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/textfile"
)

// Servable builds what serve builds before it listens, and says why it would refuse
// to. It asks nothing outside of this machine and changes nothing.
func Servable(cfg *config.Config) error {
	p, err := providers.CommandParts(cfg)
	if err != nil {
		return err
	}
	p.Approver = &push.Approver{}
	service, err := newService(cfg, &lasting{Parts: p})
	if err != nil {
		return err
	}
	_, err = WebPushOptions(cfg)
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
	_, places := OpenPlaces(cfg, zap.NewNop())
	_, passkeys := openPasskeys(cfg, nil)
	return errors.Join(append(found, places, passkeys)...)
}

// dataDirProblem says why a server that this user starts could not work in data_dir.
// A folder that belongs to another user is theirs to serve in.
func dataDirProblem(cfg *config.Config) error {
	dir, info, err := nearestFolder(cfg.DataDir)
	switch {
	case err != nil:
	case dir == cfg.DataDir && !OwnFolder(info):
		return nil
	default:
		if err = unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
			err = &os.PathError{Op: "write to", Path: dir, Err: err}
		}
	}
	return DataDirError(cfg, err)
}

// DataDirError adds the line of data_dir to what is wrong with it, nil where nothing is.
func DataDirError(cfg *config.Config, err error) error {
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

// TryDataDir makes a folder for a moment where data_dir would be made.
func TryDataDir(cfg *config.Config) error {
	dir, _, err := nearestFolder(cfg.DataDir)
	if err == nil && dir != cfg.DataDir {
		if dir, err = os.MkdirTemp(dir, ".radmatch-check-"); err == nil {
			err = os.Remove(dir)
		}
	}
	return DataDirError(cfg, err)
}

// OwnFolder reports whether a folder is this user's, or this user is root, who becomes
// its owner to work there.
func OwnFolder(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || os.Geteuid() == 0 || int(st.Uid) == os.Geteuid()
}
