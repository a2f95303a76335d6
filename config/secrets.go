package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/radmatch/radmatch/config/load"
	"github.com/radmatch/radmatch/mfa/textfile"
)

// secretFile is a file with secrets and the key that names it.
type secretFile struct{ key, name string }

// The ends of keys whose values must be exact, and of those that name files with
// secrets.
var (
	exactKeys  = []string{"secret", "password", "dn", "filter", "url", "urls", "path", "file"}
	secretKeys = []string{"secret_file", "password_file", "token_file", "key_file"}
)

// endsIn reports whether key, without the index of a list, ends in one of ends.
func endsIn(key string, ends []string) bool {
	if strings.HasSuffix(key, "]") {
		key = key[:strings.LastIndexByte(key, '[')]
	}
	return slices.ContainsFunc(ends, func(end string) bool { return strings.HasSuffix(key, end) })
}

// odd warns of a value that was hardly meant so, and notes the files with secrets.
func (r *report) odd(key, value string) {
	switch {
	case endsIn(key, exactKeys):
		if rule := textfile.Odd(value); rule != "" {
			r.Warn(key, "%s", rule)
		}
	case textfile.Variable(value):
		r.Warn(key, "it looks like a variable: nothing is put in its place, it is taken as it stands")
	}
	if endsIn(key, secretKeys) && key != "web.tls.key_file" && key != "seal.key_file" {
		r.secretFiles = append(r.secretFiles, secretFile{key, value})
	}
}

// readSecretFile reads the secrets of the entry key from a file: one a line.
func (c *Config) readSecretFile(r *report, name, key string) (secrets load.Secrets) {
	file := c.Resolve(name)
	lines, err := textfile.Secrets(file)
	if err != nil {
		r.Add(key, load.Quote(name), "%s", secretFileRule(file, err))
		return nil
	}
	for _, s := range lines {
		secrets = append(secrets, load.Secret(s))
	}
	return secrets
}

// secretFileRule is what a file with a secret must be, from the error of reading it.
func secretFileRule(file string, err error) string {
	rule := strings.TrimPrefix(err.Error(), file+": ")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		rule = "must be readable: " + rule
	}
	return rule
}

// ReadSecret reads the secret of a provider from a file, which holds nothing else.
func (c *Config) ReadSecret(path string) (string, error) {
	file := c.Resolve(path)
	secret, err := textfile.Secret(file)
	if err != nil {
		return "", fmt.Errorf("%s: %s", file, secretFileRule(file, err))
	}
	return secret, nil
}

// checkSecretFiles warns of what is odd in the files with secrets that the file
// names, anyone who reads them.
func (c *Config) checkSecretFiles(r *report) {
	if r.noSecrets {
		return
	}
	for _, f := range r.secretFiles {
		file := c.Resolve(f.name)
		text, err := textfile.Read(file, load.MaxFile)
		if err != nil {
			continue // anyone who reads it says so
		}
		r.warnReadable(file, f.key, text)
		for _, secret := range textfile.SecretLines(text) {
			if odd := textfile.Odd(secret); odd != "" {
				r.Warn(f.key, "%s holds a secret that was hardly meant so: %s", f.name, odd)
			}
		}
	}
}

// warnReadable warns of a file that holds a secret and that everyone can read.
func (r *report) warnReadable(file, key string, data []byte) {
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm()&0o004 == 0 {
		return
	}
	switch {
	case key != "":
		r.Warn(key, "everyone on this machine can read it: chmod 640 %s", file)
	case bytes.Contains(data, []byte("secret:")) || bytes.Contains(data, []byte("password:")):
		r.Put(Problem{Rule: fmt.Sprintf("it has secrets and everyone on this machine can read it: chmod 640 %s", file), Warning: true})
	}
}
