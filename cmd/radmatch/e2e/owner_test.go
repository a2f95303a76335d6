package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// serviceUser is a user that the machine does not know.
const serviceUser = 4711

// giveData makes data_dir, and gives it to serviceUser, who can reach it.
func (p *serverProcess) giveData() {
	p.t.Helper()
	needRoot(p.t, "only root can be someone else")
	for _, err := range []error{
		os.Chmod(filepath.Dir(p.dir), 0o755), os.Chmod(p.dir, 0o755),
		os.MkdirAll(p.path("data"), 0o700), os.Chown(p.path("data"), serviceUser, serviceUser),
	} {
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// TestRootFollowsNoLink: anyone who owns data_dir puts links to root's files in the
// place of its files. No command of root's, and no server of root's, reads or
// writes what they lead to.
func TestRootFollowsNoLink(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+siteClient)
	p.giveData()
	if err := os.Mkdir(p.path("secret"), 0o700); err != nil {
		t.Fatal(err)
	}
	// The key and the database of another site, and a text.
	other := newServer(t, siteHead+siteClient)
	other.cli("user", "block", "alice")
	precious := map[string][]byte{}
	for name, from := range map[string]string{"radmatch.db": other.path("data/radmatch.db"), "seal.key": other.path("data/seal.key"), "text": p.path("users.yaml")} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		precious[p.path("secret/"+name)] = text
		p.write("secret/"+name, string(text))
	}
	for link, to := range map[string]string{"radmatch.db": "radmatch.db", "seal.key": "seal.key", "lock": "text", "applied": "text", "radmatch.db-wal": "text"} {
		t.Run(link, func(t *testing.T) {
			if err := os.Symlink(p.path("secret/"+to), p.path("data/"+link)); err != nil {
				t.Fatal(err)
			}
			for _, line := range []string{
				"user block bob", "user show bob", "totp add bob --no-qr", "totp list", "device invite bob", "rekey", "events", "clients", "check --connect", "serve",
			} {
				if (link == "lock" || link == "applied") && line != "serve" {
					continue // only the server opens them to write
				}
				out, err := p.command(nil, strings.Fields(line)...).CombinedOutput()
				if err == nil {
					t.Errorf("%s: exit code 0: got %s; want an error", line, out)
				}
			}
			for file, want := range precious {
				if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s has changed: %v", file, err)
				}
			}
			files, err := os.ReadDir(p.path("secret"))
			if err != nil || len(files) != len(precious) {
				t.Errorf("files beside root's: %v, %v", files, err)
			}
			for _, name := range []string{"radmatch.db", "seal.key", "lock", "applied", "radmatch.db-wal", "radmatch.db-shm"} {
				os.Remove(p.path("data/" + name))
			}
		})
	}
}

// TestFilesOfRoot: commands and a server that root has tried out lock the
// server's own user out of nothing, and run as that user.
func TestFilesOfRoot(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+siteClient)
	p.giveData()
	if err := os.Chmod(p.path("users.yaml"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p.dir, 0o777); err != nil { // --ready-file
		t.Fatal(err)
	}
	run := func(args ...string) {
		if out, err := p.command(nil, args...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: got %s; want no error", args, err, out)
		}
	}
	run("totp", "add", "alice", "--no-qr")
	p.start()
	run("rekey")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil || !strings.Contains(string(status), "Uid:\t4711\t4711\t4711\t4711") || !strings.Contains(string(status), "Groups:\t4711 \n") {
		t.Errorf("the server does not run as the owner of data_dir: %v\n%s; want no error, \"Uid:\t4711\t4711\t4711\t4711\" in it, \"Groups:\t4711 \n\" in it", err, status)
	}
	files, err := os.ReadDir(p.path("data"))
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != serviceUser || st.Gid != serviceUser {
			t.Errorf("%s belongs to %d:%d; want %d", f.Name(), st.Uid, st.Gid, serviceUser)
		}
	}
}

// TestRootChecksAsOwner: what root can read and the owner of data_dir cannot is no
// good to serve with: check says so, and a server that root has started says that its
// reloads will fail.
func TestRootChecksAsOwner(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+siteClient)
	p.giveData()
	for _, args := range [][]string{{"check"}, {"check", "--connect"}, {"serve"}} {
		out, err := p.command(nil, args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "users.yaml: permission denied") {
			t.Errorf("%q, users.yaml is root's: %v: got %s; want \"users.yaml: permission denied\" in the error", args, err, out)
		}
	}
	for _, err := range []error{os.Chmod(p.path("users.yaml"), 0o644), os.Chmod(p.dir, 0o777)} { // --ready-file
		if err != nil {
			t.Fatal(err)
		}
	}
	if out, err := p.command(nil, "check").CombinedOutput(); err != nil {
		t.Errorf("check: %v: got %s; want no error", err, out)
	}
	p.start()
	p.stop()
	if log := p.log(); !strings.Contains(log, "reloads will fail") || !strings.Contains(log, "radmatch.yaml") {
		t.Errorf("log: got %s; want \"reloads will fail\" in it, \"radmatch.yaml\" in it", log)
	}
}

// TestReloadSignalsNobodyElse: the owner of data_dir cannot have root's reload signal a
// process of root's, or all of them.
func TestReloadSignalsNobodyElse(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+siteClient)
	p.giveData()
	if err := os.Chmod(p.path("users.yaml"), 0o644); err != nil {
		t.Fatal(err)
	}
	victim := exec.Command("sleep", "600")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	defer victim.Process.Kill()
	lock, err := os.OpenFile(p.path("data/lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{victim.Process.Pid, -victim.Process.Pid, 0} {
		text := strconv.Itoa(pid)
		if err := errors.Join(os.WriteFile(p.path("data/lock"), []byte(text), 0o644), os.WriteFile(p.path("data/serving.json"), []byte(`{"pid":`+text+`}`), 0o644)); err != nil {
			t.Fatal(err)
		}
		reload := p.command(nil, "reload")
		reload.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // 0 would mean this test too
		out, err := reload.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "operation not permitted") && !strings.Contains(string(out), "no server serves") {
			t.Errorf("process %d: %v: %s", pid, err, out)
		}
	}
	victim.Process.Kill()
	victim.Wait()
	if by := victim.ProcessState.Sys().(syscall.WaitStatus).Signal(); by != syscall.SIGKILL {
		t.Errorf("root's process ended by: got %v; want %v", by, syscall.SIGKILL)
	}
}
