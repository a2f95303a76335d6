package site

import (
	"errors"
	"io/fs"
	"os"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/process"
	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/config"
)

// Site is what a command works on: a configuration file and its database.
type Site struct {
	ConfigFile string            // -c
	Say        func(text string) // what an operator should know beside the result; nil: it is an error

	becomeRoot func() error // not nil: root works as the owner of data_dir, see BecomeOwner
}

// BecomeOwner makes a command of root's the owner of data_dir, until AsRoot.
func (s *Site) BecomeOwner(dir string) error {
	back, err := process.BecomeOwner(dir, false)
	if back != nil {
		s.becomeRoot = back
	}
	return err
}

// AsOwner reports whether root works as the owner of data_dir.
func (s *Site) AsOwner() bool { return s.becomeRoot != nil }

// AsRoot ends what BecomeOwner began, where it did.
func (s *Site) AsRoot() error {
	if s.becomeRoot == nil {
		return nil
	}
	back := s.becomeRoot
	s.becomeRoot = nil
	return back()
}

// SystemFile is where packages put the configuration.
const SystemFile = "/etc/radmatch/radmatch.yaml"

// EnvConfig names the file where -c does not.
const EnvConfig = "RADMATCH_CONFIG"

// FindConfig returns the configuration file of a command without -c: what the
// environment names, then the one in this folder, then the one of the system.
func FindConfig() string { return findConfig(os.LookupEnv, exists) }

func findConfig(lookupEnv func(string) (string, bool), exists func(string) bool) string {
	const local = "radmatch.yaml"
	if file, _ := lookupEnv(EnvConfig); file != "" {
		return file
	}
	if !exists(local) && exists(SystemFile) {
		return SystemFile
	}
	return local
}

// exists reports whether there is something at a path, be it readable or not.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// LoadConfig reads the file of -c. Its error has every problem, one a line, and
// exit code 3.
func (s *Site) LoadConfig() (*config.Config, error) {
	cfg, err := ReadConfig(s.ConfigFile)
	return cfg, s.ExplainConfig(err)
}

// LoadForCommand is LoadConfig for a command that talks to no client: it does not
// read the files with their secrets.
func (s *Site) LoadForCommand() (*config.Config, error) {
	k := providers.Known()
	k.LookupEnv, k.NoSecrets = os.LookupEnv, true
	cfg, err := config.Load(s.ConfigFile, k)
	return cfg, s.ExplainConfig(err)
}

// ExplainConfig gives what is wrong with the file its exit code and a hint.
func (s *Site) ExplainConfig(err error) error {
	if err == nil {
		return nil
	}
	hint := "radmatch check -c " + s.ConfigFile
	if _, statErr := os.Stat(s.ConfigFile); errors.Is(statErr, os.ErrNotExist) {
		hint = "radmatch quickstart, or -c FILE, or " + EnvConfig + "=FILE"
	}
	var problems config.Problems
	if errors.As(err, &problems) {
		err = problems.Errors()
	}
	return &console.ExitError{Code: console.ExitConfig, Err: err, Hint: hint}
}

// ReadConfig reads a configuration. Its error is config.Problems where the file can be read.
func ReadConfig(file string) (*config.Config, error) {
	k := providers.Known()
	k.LookupEnv = os.LookupEnv
	return config.Load(file, k)
}
