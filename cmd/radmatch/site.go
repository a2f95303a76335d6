package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/radmatch/radmatch/config"
)

// becomeOwner makes a command of root's the owner of data_dir, until asRoot.
func (s *site) becomeOwner(dir string) error {
	back, err := becomeOwner(dir, false)
	if back != nil {
		s.becomeRoot = back
	}
	return err
}

// asRoot ends what becomeOwner began, where it did.
func (s *site) asRoot() error {
	if s.becomeRoot == nil {
		return nil
	}
	back := s.becomeRoot
	s.becomeRoot = nil
	return back()
}

// site is what a command works on: a configuration file and its database.
type site struct {
	configFile string // -c

	becomeRoot func() error // not nil: root works as the owner of data_dir, see becomeOwner
}

// systemFile is where packages put the configuration.
const systemFile = "/etc/radmatch/radmatch.yaml"

// envConfig names the file where -c does not.
const envConfig = "RADMATCH_CONFIG"

// findConfig returns the configuration file of a command without -c: what the
// environment names, then the one in this folder, then the one of the system.
func findConfig(lookupEnv func(string) (string, bool), exists func(string) bool) string {
	const local = "radmatch.yaml"
	if file, _ := lookupEnv(envConfig); file != "" {
		return file
	}
	if !exists(local) && exists(systemFile) {
		return systemFile
	}
	return local
}

// exists reports whether there is something at a path, be it readable or not.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// loadConfig reads the file of -c. Its error has every problem, one a line, and
// exit code 3.
func (s *site) loadConfig() (*config.Config, error) {
	cfg, err := readConfig(s.configFile)
	return cfg, s.explainConfig(err)
}

// loadForCommand is loadConfig for a command that talks to no client: it does not
// read the files with their secrets.
func (s *site) loadForCommand() (*config.Config, error) {
	k := known()
	k.LookupEnv, k.NoSecrets = os.LookupEnv, true
	cfg, err := config.Load(s.configFile, k)
	return cfg, s.explainConfig(err)
}

// explainConfig gives what is wrong with the file its exit code and a hint.
func (s *site) explainConfig(err error) error {
	if err == nil {
		return nil
	}
	hint := "radmatch check -c " + s.configFile
	if _, statErr := os.Stat(s.configFile); errors.Is(statErr, os.ErrNotExist) {
		hint = "radmatch quickstart, or -c FILE, or " + envConfig + "=FILE"
	}
	var problems config.Problems
	if errors.As(err, &problems) {
		err = problems.Errors()
	}
	return &exitError{code: exitConfig, err: err, hint: hint}
}

func readConfig(file string) (*config.Config, error) {
	k := known()
	k.LookupEnv = os.LookupEnv
	return config.Load(file, k)
}
