package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/radius/wire"
)

// documented returns the commands of the block of docs/backup.md behind a mark.
func documented(t testing.TB, mark string) string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/backup.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)<!-- " + mark + " -->\n```console\n(.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatalf("docs/backup.md has no block %q", mark)
	}
	return strings.ReplaceAll("\n"+string(block[1]), "\n$ ", "\n")
}

// follow runs the documented commands as an operator does, on the files of p. The
// service is the test's.
func (p *serverProcess) follow(mark, backups string) {
	p.t.Helper()
	script := strings.NewReplacer("/var/lib/radmatch", p.path("data"), "/var/backups/radmatch", backups).Replace(documented(p.t, mark))
	const stubs = `
set -eux -o pipefail
systemctl() { :; }
install() { command install -m 0600 "${@: -2}"; }
chown() { :; }
`
	cmd := exec.Command("bash", "-c", stubs+script)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "RADMATCH_CONFIG="+p.path("radmatch.yaml"))
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("%s: %v\n%s; want no error", mark, err, out)
	}
}

// TestBackupAndRestore: a backup that is made while users sign in is restored on
// another machine as the documents say, where the same tokens sign in, and no code
// that was used before the backup.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+siteClient)
	p.addTOTP("alice", "bob")
	p.start()
	vpn := p.nasSocket("127.0.0.1")
	used := totp("alice", 0)
	login := func(s *nasSocket, user, code string, want wire.Code) {
		t.Helper()
		state := s.expect(signIn(user, ""), wire.AccessChallenge).State()
		s.expect(answerTo(user, state, code), want)
	}
	login(vpn, "alice", used, wire.AccessAccept)

	waiting := vpn.expect(signIn("bob", ""), wire.AccessChallenge).State()
	backups := t.TempDir()
	file := filepath.Join(backups, "radmatch.db")
	for range 2 { // the second takes the place of the first
		p.cli("backup", "--with-key", file)
	}
	vpn.expect(answerTo("bob", waiting, totp("bob", 0)), wire.AccessAccept)
	entries, err := os.ReadDir(backups)
	if err != nil || len(entries) != 2 {
		t.Errorf("files %v, %v; want the backup and its key", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got %v; want no error, mode 0o600", e.Name(), info.Mode())
		}
	}
	if out := p.cli("events"); strings.Count(out, "backup written to radmatch.db") != 2 {
		t.Errorf("the trail does not have both backups:\n%s; want 2 times \"backup written to radmatch.db\"", out)
	}
	if out, code := p.output("backup", p.path("data/radmatch.db")); code != console.ExitUsage {
		t.Errorf("over the database itself: exit %d: got %s; want console.ExitUsage", code, out)
	}
	if out, code := p.output("backup", p.path("nowhere/radmatch.db")); code != console.ExitFailure {
		t.Errorf("into no folder: exit %d: got %s; want console.ExitFailure", code, out)
	}
	p.stop()

	other := newServer(t, siteHead+siteClient)
	other.cli("user", "block", "alice") // what is restored over
	other.follow("restore", backups)
	other.start()
	vpn = other.nasSocket("127.0.0.1")
	login(vpn, "alice", used, wire.AccessReject)
	login(vpn, "alice", totp("alice", 1), wire.AccessAccept)
}

// TestRecover: what can be read of a damaged database is taken out as the
// documents say; check finds the damage and names them.
func TestRecover(t *testing.T) {
	t.Parallel()
	needPeer(t, "sqlite3")
	p := newServer(t, siteHead+siteClient)
	p.addTOTP("alice")
	for range 60 {
		p.cli("user", "block", "bob")
		p.cli("user", "unblock", "bob")
	}
	p.spoil()
	out, code := p.output("check", "--connect")
	if code != console.ExitConfig || !strings.Contains(out, "the database is damaged") || !strings.Contains(out, `hint: restore the last backup, or recover what can be read: docs/backup.md, "A damaged database"`) {
		t.Errorf("check --connect: exit %d: %s", code, out)
	}
	if out, code := p.output("backup", p.path("copy")); code != console.ExitFailure || !strings.Contains(out, "docs/backup.md") {
		t.Errorf("backup: exit %d: got %s; want console.ExitFailure, \"docs/backup.md\" in it", code, out)
	}
	p.follow("recover", "")
	if out, code := p.output("check", "--connect"); code != console.ExitOK {
		t.Errorf("check --connect: exit %d: got %s; want console.ExitOK", code, out)
	}
	p.start()
	vpn := p.nasSocket("127.0.0.1")
	state := vpn.expect(signIn("alice", ""), wire.AccessChallenge).State()
	vpn.expect(answerTo("alice", state, totp("alice", 0)), wire.AccessAccept)
}

// spoil damages a page of the trail.
func (p *serverProcess) spoil() {
	p.t.Helper()
	page, err := exec.Command("sqlite3", p.path("data/radmatch.db"), `PRAGMA wal_checkpoint(TRUNCATE); SELECT max(pageno) FROM dbstat WHERE name = 'events' AND pagetype = 'leaf'`).CombinedOutput()
	lines := strings.Fields(string(page))
	var n int64
	if err == nil {
		_, err = fmt.Sscan(lines[len(lines)-1], &n)
	}
	f, errOpen := os.OpenFile(p.path("data/radmatch.db"), os.O_RDWR, 0)
	if err != nil || errOpen != nil {
		p.t.Fatal(string(page), err, errOpen)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(strings.Repeat("\xa5", 4096)), (n-1)*4096); err != nil {
		p.t.Fatal(err)
	}
}

// TestBackupAsRoot: root's backup goes where root may write, and no other file
// that its owner points to.
func TestBackupAsRoot(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+siteClient)
	p.giveData()
	own := t.TempDir() // root's only
	out, err := p.command(nil, "backup", "--with-key", filepath.Join(own, "radmatch.db")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: got %s; want no error", err, out)
	}
	for _, name := range []string{"radmatch.db", "radmatch.db.key"} {
		info, err := os.Stat(filepath.Join(own, name))
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 0 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s belongs to %d, mode %v; want Uid 0, mode 0o600", name, st.Uid, info.Mode())
		}
	}
	left, err := filepath.Glob(p.path("data/.radmatch-backup-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in data_dir: got %v, %v; want no error, none", left, err)
	}
}
