package config

import (
	"io/fs"
	"os"
	"reflect"
	"regexp"

	"github.com/radmatch/radmatch/config/load"
)

// Seal is where the keys are that seal the secrets of tokens.
type Seal struct {
	KeyFile string `yaml:"key_file" example:"/etc/radmatch/seal.key" doc:"The file with the keys that seal the secrets of tokens in the database. Unset: seal.key in data_dir. The first start makes it, or radmatch rekey --prepare where the server may not write there. Nodes that share a database have the same file."`
	KeyEnv  string `yaml:"key_env" example:"RADMATCH_SEAL_KEYS" doc:"The environment variable that holds the lines of such a file, with commas between them, in place of key_file. Commands need it too."`
}

var variableForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// checkSeal checks where the keys are, not what they are: the store reads them.
func (c *Config) checkSeal(r *report) {
	s := &c.Seal
	s.KeyFile = c.Resolve(s.KeyFile)
	switch {
	case r.Failed("seal"):
	case s.KeyFile != "" && s.KeyEnv != "":
		r.Add("seal.key_env", "", "must not stand beside key_file")
	case s.KeyEnv != "" && !variableForm.MatchString(s.KeyEnv):
		r.Add("seal.key_env", load.Quote(s.KeyEnv), "must be the name of an environment variable: letters, digits and underscores")
	case s.KeyFile != "":
		if info, err := os.Stat(s.KeyFile); err == nil && info.Mode()&fs.ModeType == 0 && info.Mode().Perm()&0o007 != 0 {
			r.Add("seal.key_file", "", "must not be for everyone on this machine: chmod 600 %s, or 640 with the group of the server", s.KeyFile)
		}
	}
}

// storeKeys are the keys that say where the database is and what opens it.
var storeKeys = []string{"data_dir", "seal"}

// LoadStore reads what a file says of the database and nothing else in it: a command that
// needs only the database works beside a file that is broken elsewhere.
func LoadStore(file string) (*Config, error) {
	r := newReport(file)
	c := &Config{File: file, lines: r.Lines()}
	data, err := load.ReadFile(file)
	if err != nil {
		r.Put(Problem{Rule: err.Error()})
	} else {
		load.Fill(c, load.ReadKeys(r.Report, data, reflect.TypeFor[Config](), storeKeys))
		c.checkStore(r)
	}
	problems, failed := r.Sorted()
	if failed {
		return nil, problems
	}
	return c, nil
}

// checkStore checks the keys of storeKeys, which depend on no others.
func (c *Config) checkStore(r *report) {
	c.DataDir = c.Resolve(c.DataDir)
	c.checkSeal(r)
}
