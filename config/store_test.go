package config

import (
	"strings"
	"testing"
)

// pgConfig is a minimal file with a database at url.
func pgConfig(url, more string) string {
	return minimal + "web: {public_url: 'https://mfa.example.org'}\nseal: {key_env: KEYS}\nstore: {type: postgres, url: '" + url + "'" + more + "}\n"
}

func TestStoreWarnings(t *testing.T) {
	for _, tt := range []struct{ name, url, more, want string }{
		{"loopback", "postgres://radmatch@127.0.0.1:5433/radmatch", "", ""},
		{"socket", "postgres://radmatch@/radmatch?host=/run/postgresql", "", ""},
		{"IPv6", "postgres://radmatch@[::1]/radmatch", "", ""},
		{"verified", "postgres://radmatch@pg.example.org/radmatch?sslmode=verify-full", "", ""},
		{"plain", "postgres://radmatch@pg.example.org/radmatch", "", `9: warning: store.url: without sslmode=verify-full anyone on the way to "pg.example.org"`},
		{"required only", "postgres://radmatch@127.0.0.1,pg2:5432/radmatch?sslmode=require&target_session_attrs=primary", "", `on the way to "pg2"`},
		{"any host", "postgres://radmatch@pg1,pg2/radmatch?sslmode=verify-full", "", "store.url: has several hosts: without target_session_attrs=read-write"},
		{"two and none", "postgres://radmatch@pg1,pg2/radmatch?sslmode=verify-full&target_session_attrs=read-write", ", standby: none", "store.standby: is none, and store.url has several hosts"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := loadText(t, pgConfig(tt.url, tt.more), testKnown())
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Warnings.Error(); tt.want == "" && len(c.Warnings) > 0 || !strings.Contains(got, tt.want) {
				t.Errorf("got\n%v\nwant %q", got, tt.want)
			}
		})
	}
}

// Passwords in the URL are refused wherever they can stand, and not shown.
func TestStorePassword(t *testing.T) {
	for _, url := range []string{
		"postgres://radmatch:hunter2@pg/radmatch", "postgres://radmatch@pg/radmatch?password=hunter2",
		"postgres://radmatch@pg/radmatch?sslmode=verify-full&sslpassword=hunter2", "postgres://radmatch:hunter2@pg", "postgres://radmatch:hunter2@pg:port/x",
	} {
		_, err := loadText(t, pgConfig(url, ""), testKnown())
		if err == nil || !strings.Contains(err.Error(), "store.url: must ") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v; want that store.url must be otherwise, and no password", url, err)
		}
	}
}

// TestLoadStore reads what a command needs beside a file that is broken elsewhere.
func TestLoadStore(t *testing.T) {
	file := t.TempDir() + "/radmatch.yaml"
	write(t, file, []byte(strings.Replace(pgConfig("postgres://radmatch@127.0.0.1/radmatch", ", password_file: pg"), "secret: ", "nothing: ", 1)), 0o600)
	c, err := LoadStore(file)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Store.Postgres() || !strings.HasSuffix(c.Store.PasswordFile, "/pg") || c.Seal.KeyEnv != "KEYS" {
		t.Errorf("got %+v", c)
	}
	write(t, file, []byte("clients: 7\n"), 0o600)
	if c, err = LoadStore(file); err != nil || c.Store.Postgres() || !strings.HasSuffix(c.DataDir, "/data") {
		t.Errorf("got %+v, %v; want the defaults", c, err)
	}
	write(t, file, []byte("store: {type: postgres}\n"), 0o600)
	if _, err = LoadStore(file); err == nil || !strings.Contains(err.Error(), "store.url: must be there") {
		t.Errorf("got %v; want that store.url must be there", err)
	}
}

// TestFingerprint is the same for servers of one site, and another for what decides otherwise.
func TestFingerprint(t *testing.T) {
	of := func(text string) string {
		t.Helper()
		c, err := loadText(t, text, testKnown())
		if err != nil {
			t.Fatal(err)
		}
		return c.Fingerprint()
	}
	base := pgConfig("postgres://radmatch@127.0.0.1/radmatch", "")
	for name, text := range map[string]string{
		"another node":   base + "node: vpn-b\nlisten: {radius: ['127.0.0.1:1645']}\nlog: {level: debug}\n",
		"another line":   "# a remark\n" + base,
		"another secret": strings.Replace(base, "8-PtwkGzXq2vNc4LrT", "9-PtwkGzXq2vNc4LrT", 1),
		"another host":   strings.Replace(base, "127.0.0.1/radmatch", "localhost/radmatch", 1),
	} {
		if of(text) != of(base) {
			t.Errorf("%s: got another fingerprint; want the same", name)
		}
	}
	for name, text := range map[string]string{
		"a client":  strings.Replace(base, "203.0.113.0/24", "203.0.113.0/25", 1),
		"a timeout": base + "mfa: {push_timeout: 30s}\n",
		"a lock":    base + "lockout: {passcodes: 5}\n",
		"a primary": strings.Replace(base, "users.yaml", "others.yaml", 1),
	} {
		if of(text) == of(base) {
			t.Errorf("%s: got the same fingerprint; want another", name)
		}
	}
}

// A database of before in data_dir is not left behind by a slip: an empty one knows no methods.
func TestStoreLeftBehind(t *testing.T) {
	dir := t.TempDir()
	text := pgConfig("postgres://radmatch@127.0.0.1/radmatch", "") + "data_dir: " + dir + "\n"
	if _, err := loadText(t, text, testKnown()); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/radmatch.db", nil, 0o600)
	_, err := loadText(t, text, testKnown())
	if err == nil || !strings.Contains(err.Error(), "data_dir: must hold no radmatch.db") {
		t.Errorf("got %v; want that data_dir must hold no radmatch.db", err)
	}
}
