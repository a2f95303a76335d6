package config

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"github.com/radmatch/radmatch/config/load"
)

// Store is the database.
type Store struct {
	Type         string `yaml:"type" default:"sqlite" enum:"sqlite,postgres" doc:"sqlite: embedded, in data_dir, for one server. postgres: a PostgreSQL server (15 or later), for any number of servers with the same configuration and the same sealing key."`
	URL          string `yaml:"url" example:"postgres://radmatch@pg1.example.org,pg2.example.org/radmatch?target_session_attrs=read-write&sslmode=verify-full" doc:"Where PostgreSQL is, for type: postgres: one host or several, the role, the database. Its password stands in password_file."`
	PasswordFile string `yaml:"password_file" example:"secrets/postgres" doc:"A file that holds the password of the role. It is read for each connection. Unset: the database asks for none (a client certificate, peer)."`
	Standby      string `yaml:"standby" example:"sync" enum:"none,sync,async" doc:"What a failover of the database leads to. none: there is no other server that could lack a commit. sync: one that has every commit; the database must wait for it, which is made sure of. async: one that may lack the last ones. Unset: sync where the database waits for a standby, async with a warning otherwise."`
}

// Postgres reports whether the database is a PostgreSQL server, which other nodes may share.
func (s Store) Postgres() bool { return s.Type == "postgres" }

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
var storeKeys = []string{"data_dir", "store", "node", "seal"}

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
	c.Store.PasswordFile = c.Resolve(c.Store.PasswordFile)
	c.checkSeal(r)
	switch {
	case r.Failed("store.type"):
	case c.Store.Postgres():
		c.checkPostgres(r)
	default:
		for _, key := range []string{"store.url", "store.password_file", "store.standby", "node"} {
			if r.Set(key) && !r.Failed(key) {
				r.Add(key, "", "must not be there without store.type: postgres")
			}
		}
	}
}

// checkPostgres checks what belongs to a PostgreSQL server. What the URL has is not repeated:
// it may hold a password.
func (c *Config) checkPostgres(r *report) {
	if _, err := os.Stat(filepath.Join(c.DataDir, "radmatch.db")); err == nil {
		// An empty database has no methods: who must have a second factor would have none.
		r.Add("data_dir", load.Quote(c.DataDir), "must hold no radmatch.db beside store.type: postgres: it would be left behind; copy it (radmatch store copy --to), or take it away")
	}
	if c.Seal == (Seal{}) && !r.Failed("seal") {
		r.Add("seal", "", "must have key_file or key_env: all servers that share a database have the same sealing key")
	}
	if r.Set("node") && !nameForm.MatchString(c.Node) && !r.Failed("node") {
		r.Add("node", load.Quote(c.Node), "must be letters, digits, dots, dashes and underscores, at most 64")
	}
	if r.Failed("store.url") {
		return
	}
	if c.Store.URL == "" {
		r.Add("store.url", "", "must be there, such as postgres://radmatch@pg.example.org/radmatch?sslmode=verify-full")
		return
	}
	u, err := DatabaseURL(c.Store.URL)
	if errors.Is(err, ErrPasswordInURL) {
		r.Add("store.url", "", "must have no password: put it into a file and name that in store.password_file")
		return
	}
	if err != nil {
		r.Add("store.url", "", "%s", err.Error())
		return
	}
	c.adviseURL(r, u, u.Query())
}

// ErrPasswordInURL means that the URL of a database holds a password, which others would see.
var ErrPasswordInURL = errors.New("must have no password: put it into a file")

// DatabaseURL reads the URL of a PostgreSQL database. Its errors do not repeat it.
func DatabaseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || strings.Trim(u.Path, "/") == "" {
		return nil, errors.New("must be postgres://ROLE@HOST/DATABASE, more hosts with commas between them")
	}
	q := u.Query()
	if _, set := u.User.Password(); set || q.Has("password") || q.Has("sslpassword") {
		return nil, ErrPasswordInURL
	}
	return u, nil
}

// adviseURL warns of what is allowed in the URL of a database and unwise.
func (c *Config) adviseURL(r *report, u *url.URL, q url.Values) {
	hosts := databaseHosts(u, q)
	for _, host := range hosts {
		if !isLoopback(host) && !strings.HasPrefix(host, "/") && q.Get("sslmode") != "verify-full" {
			r.Warn("store.url", "without sslmode=verify-full anyone on the way to %s can read and change what is in the database", text(host))
			break
		}
	}
	if len(hosts) < 2 {
		return
	}
	if attrs := q.Get("target_session_attrs"); attrs != "read-write" && attrs != "primary" {
		r.Warn("store.url", "has several hosts: without target_session_attrs=read-write a standby may be asked, which takes no commit")
	}
	if c.Store.Standby == "none" {
		r.Warn("store.standby", "is none, and store.url has several hosts: a server that takes over may lack the last commits, and none says that it cannot")
	}
}

// text is a host as it is shown.
func text(host string) string {
	if host == "" {
		return "the server"
	}
	return load.Quote(host)
}

// databaseHosts are the hosts of the URL of a database, without their ports; a folder of a
// socket begins with a slash.
func databaseHosts(u *url.URL, q url.Values) (hosts []string) {
	all := u.Host
	if h := q.Get("host"); h != "" {
		all = h
	}
	for host := range strings.SplitSeq(all, ",") {
		if !strings.HasPrefix(host, "/") {
			host = (&url.URL{Host: host}).Hostname()
		}
		hosts = append(hosts, host)
	}
	return hosts
}

// Fingerprint is the same for servers that decide alike, as far as this file tells: it leaves
// out what is a server's own (addresses, name, log, where files of keys lie), and secrets.
func (c *Config) Fingerprint() string {
	same := *c
	same.File, same.Warnings, same.DataDir, same.Node, same.Seal = "", nil, "", "", Seal{}
	same.Listen, same.Log, same.Store.URL, same.Store.PasswordFile = Listen{}, Log{}, "", ""
	same.Web.TLS.CertFile, same.Web.TLS.KeyFile = "", ""
	text, err := json.Marshal(&same)
	if err != nil {
		panic("config: internal error: " + err.Error())
	}
	return fmt.Sprintf("%.6x", sha256.Sum256(text))
}
