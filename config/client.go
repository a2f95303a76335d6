package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"

	"github.com/radmatch/radmatch/mfa/textfile"
)

// envOverride decides override_number_matching_with_otp where the file does
// not. It has the name and the values of the NPS extension's registry key.
const envOverride = "OVERRIDE_NUMBER_MATCHING_WITH_OTP"

// client lays the keys of one entry of clients over those of its profile, over
// mfa:, and notes where each value comes from.
func (t *tree) client(i int, m map[string]any, base MFA) Client {
	c := Client{MFA: base, origins: map[string]string{}}
	d := defaults(reflect.TypeFor[Client]())
	mfaKeys := fields(reflect.TypeFor[MFA]())
	for _, f := range mfaKeys {
		delete(d, f.key) // they are in base already
	}
	fill(&c, d)
	profile, ok := m["profile"].(string)
	if !ok {
		profile = c.Profile
	}
	fill(&c, t.known.Profiles[profile])
	fill(&c, m)
	for _, f := range append(mfaKeys, deviceFields()...) {
		_, fromProfile := t.known.Profiles[profile][f.key]
		switch {
		case t.set(join(index("clients", i), f.key)):
			c.origins[f.key] = "client " + c.Name
		case fromProfile:
			c.origins[f.key] = "profile " + profile
		case t.set(join("mfa", f.key)):
			c.origins[f.key] = "mfa"
		}
	}
	return c
}

// deviceFields returns the keys of a client that describe the device.
func deviceFields() []field {
	fs := fields(clientType)
	return fs[indexField(fs, "prompts") : indexField(fs, "nas_timeout")+1]
}

// resolveOverride gives the override of every client its value.
func (c *Config) resolveOverride(r *report, known Known) {
	value, origin := false, ""
	if known.LookupEnv != nil {
		switch text, _ := known.LookupEnv(envOverride); text {
		case "":
		case "TRUE":
			value, origin = true, "environment"
		case "FALSE":
			origin = "environment"
		default:
			r.all = append(r.all, Problem{File: "environment", Key: envOverride,
				Rule: "must be TRUE or FALSE, in capitals", Got: quote(text)})
		}
	}
	for i := range c.Clients {
		cl := &c.Clients[i]
		if cl.MFA.OverrideNumberMatchingWithOTP == nil {
			v := value
			cl.MFA.OverrideNumberMatchingWithOTP = &v
			if origin != "" {
				cl.origins["override_number_matching_with_otp"] = origin
			}
		}
	}
}

// readSecretFile reads the secrets of the entry key from a file: one a line.
func (c *Config) readSecretFile(r *report, name, key string) (secrets Secrets) {
	file := c.Resolve(name)
	lines, err := textfile.Secrets(file)
	if err != nil {
		r.add(key, quote(name), "%s", secretFileRule(file, err))
		return nil
	}
	for _, s := range lines {
		secrets = append(secrets, Secret(s))
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
// names, whoever reads them.
func (c *Config) checkSecretFiles(r *report) {
	if r.noSecrets {
		return
	}
	for _, f := range r.secretFiles {
		file := c.Resolve(f.name)
		text, err := textfile.Read(file, maxFile)
		if err != nil {
			continue // whoever reads it says so
		}
		r.warnReadable(file, f.key, text)
		for _, secret := range textfile.SecretLines(text) {
			if odd := textfile.Odd(secret); odd != "" {
				r.warn(f.key, "%s holds a secret that was hardly meant so: %s", f.name, odd)
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
		r.warn(key, "everyone on this machine can read it: chmod 640 %s", file)
	case bytes.Contains(data, []byte("secret:")) || bytes.Contains(data, []byte("password:")):
		r.put(Problem{Rule: fmt.Sprintf("it has secrets and everyone on this machine can read it: chmod 640 %s", file), Warning: true})
	}
}
