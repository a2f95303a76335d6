package command

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
)

// tree lists what is in a folder.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if name != dir {
			files = append(files, strings.TrimPrefix(name, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestQuickstart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	code, out, stderr := command(t, "quickstart", "--dir", dir, "--user", "anna", "--radius", "192.0.2.1:11812", "--web", "127.0.0.1:18080")
	if code != console.ExitOK || stderr != "" {
		t.Fatalf("exit %d\n%s; want console.ExitOK, no text", code, stderr)
	}
	for _, want := range []string{
		"radmatch serve -c " + dir + "/radmatch.yaml\n", "radmatch login anna -c " + dir + "/radmatch.yaml\n",
		"-S " + dir + "/secrets/localhost 192.0.2.1:11812 auth\n", "phone enroll 'http://localhost:18080/enroll#", "Message-Authenticator = 0x00",
	} {
		if !strings.Contains(strings.ReplaceAll(out, program(), "radmatch"), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	password := regexp.MustCompile(`Password: (\S+)`).FindStringSubmatch(out)[1]
	for _, name := range tree(t, dir) {
		file := filepath.Join(dir, name)
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v", name, info.Mode())
		}
		if info.IsDir() {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(password)) {
			t.Errorf("%s has the password", name)
		}
	}
	code, out, _ = command(t, "check", "-c", filepath.Join(dir, "radmatch.yaml"))
	if code != console.ExitOK || !strings.Contains(out, "can be served") {
		t.Errorf("check: exit %d\n%s; want console.ExitOK, \"can be served\" in it", code, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "radmatch.yaml"))
	if err != nil || !strings.Contains(string(text), `addresses: ["127.0.0.1", "::1", "192.0.2.1"]`) {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestQuickstartOverwritesNothing(t *testing.T) {
	for _, there := range []string{"radmatch.yaml", "users.yaml", "secrets/localhost", "data/x"} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, there)), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, there), "mine")
		before := tree(t, dir)
		code, _, stderr := command(t, "quickstart", "--dir", dir)
		if code != console.ExitFailure || !strings.Contains(stderr, "is there already: "+dir+"/"+strings.TrimSuffix(there, "/x")+"\n") {
			t.Errorf("%s: exit %d\n%s", there, code, stderr)
		}
		if after := tree(t, dir); !slices.Equal(after, before) {
			t.Errorf("%s: left %v", there, after)
		}
	}
}

// TestQuickstartUndoes lets the database fail, after all files were written.
func TestQuickstartUndoes(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "mine"), "")
	var out bytes.Buffer
	if code := Run(ctx, []string{"quickstart", "--dir", dir}, strings.NewReader(""), &out, &out); code != console.ExitFailure {
		t.Errorf("exit %d\n%s; want console.ExitFailure", code, &out)
	}
	if left := tree(t, dir); !slices.Equal(left, []string{"mine"}) {
		t.Errorf("got left %v; want only \"mine\"", left)
	}
	out.Reset()
	if code := Run(ctx, []string{"quickstart", "--dir", filepath.Join(dir, "new")}, strings.NewReader(""), &out, &out); code != console.ExitFailure {
		t.Errorf("exit %d\n%s; want console.ExitFailure", code, &out)
	}
	if left := tree(t, dir); !slices.Equal(left, []string{"mine"}) {
		t.Errorf("got left %v; want only \"mine\"", left)
	}
}

func TestQuickstartUsage(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"--user", ""}, {"--user", "an'na"}, {"--user", "a b"}, {"--radius", "1812"}, {"--web", "localhost:8080"}, {"--web", ""},
		{"-c", filepath.Join(dir, "a.yaml")}, {"more"},
	} {
		if code, _, stderr := command(t, append([]string{"quickstart", "--dir", dir}, args...)...); code != console.ExitUsage {
			t.Errorf("%v: exit %d\n%s; want console.ExitUsage", args, code, stderr)
		}
	}
	if left := tree(t, dir); len(left) != 0 {
		t.Errorf("got left %v; want none", left)
	}
}
