// Package postgrestest runs PostgreSQL servers for tests: each in a folder of its own, on a
// free loopback port, and ended with the test. They can be restarted, killed, stopped, and
// have a standby that is promoted.
package postgrestest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// startTime is how long a server may take to accept connections.
const startTime = 60 * time.Second

// Server is a PostgreSQL server of one test. Its methods are for one goroutine at a time.
type Server struct {
	Port int

	dir     string // its files: data, log, socket
	bin     string
	account *syscall.Credential // nil: as this process
	cmd     *exec.Cmd
	ended   chan struct{}
}

// Start starts a server with settings of postgresql.conf. It skips the test where PostgreSQL
// is not installed; with CI=true it fails it.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := New(settings...)
	if err != nil {
		skip(t, err)
	}
	t.Cleanup(s.Close)
	return s
}

func skip(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skip("PostgreSQL is not installed: run testdata/install-peers as root")
	}
	t.Fatal(err)
}

// New is Start for what is no test: exec.ErrNotFound where PostgreSQL is not installed. Close
// ends the server.
func New(settings ...string) (*Server, error) {
	s, err := prepare()
	if err != nil {
		return nil, err
	}
	err = s.run("initdb", "-D", s.data(), "-U", "radmatch", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	if err == nil {
		err = s.configure(append([]string{
			"listen_addresses = '127.0.0.1'", "unix_socket_directories = '" + s.dir + "'",
			"max_wal_senders = 4", "wal_keep_size = '256MB'", "max_connections = 60", "shared_buffers = '64MB'",
		}, settings...))
	}
	if err == nil {
		err = s.begin()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// prepare finds the programs, and makes a folder that the account of the server owns.
func prepare() (*Server, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return nil, fmt.Errorf("initdb: %w", exec.ErrNotFound)
	}
	dir, err := os.MkdirTemp("", "radmatch-pg") // a short name: it has the socket
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: filepath.Dir(found[len(found)-1])}
	if os.Getuid() == 0 { // PostgreSQL refuses root
		if s.account, err = account(); err != nil {
			return nil, err
		}
		if err := os.Chown(dir, int(s.account.Uid), int(s.account.Gid)); err != nil {
			return nil, err
		}
	}
	s.Port, err = freePort()
	return s, err
}

// account is one without rights.
func account() (*syscall.Credential, error) {
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "HOME="+s.dir, "LC_ALL=C.UTF-8")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.account, Setpgid: true}
	return cmd
}

func (s *Server) run(program string, args ...string) error {
	out, err := s.command(program, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return err
}

// configure appends settings. They are read at the next start, or by Set.
func (s *Server) configure(settings []string) error {
	f, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(strings.Join(settings, "\n") + "\n")
	return err
}

// begin starts the server, and returns when it answers.
func (s *Server) begin() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = s.command("postgres", "-D", s.data(), "-p", strconv.Itoa(s.Port))
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		cmd.Wait()
		close(ended)
	}(s.cmd, s.ended)
	for end := time.Now().Add(startTime); ; {
		if err = s.ping(); err == nil {
			return nil
		}
		if time.Now().After(end) {
			return err
		}
		select {
		case <-s.ended:
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("PostgreSQL ended: %s", text)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Server) ping() error {
	db, err := s.open("postgres")
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return db.PingContext(ctx)
}

// URL is that of a database of this server.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://radmatch@127.0.0.1:%d/%s?sslmode=disable", s.Port, database)
}

// URLs is that of a database of this server and another one: of the one that can be written.
func (s *Server) URLs(database string, other *Server) string {
	return fmt.Sprintf("postgres://radmatch@127.0.0.1:%d,127.0.0.1:%d/%s?sslmode=disable&target_session_attrs=read-write", s.Port, other.Port, database)
}

func (s *Server) open(database string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(s.URL(database))
	if err != nil {
		return nil, err
	}
	return stdlib.OpenDB(*config), nil
}

// Exec runs a statement in a database.
func (s *Server) Exec(t testing.TB, database, statement string, args ...any) {
	t.Helper()
	db, err := s.open(database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Count returns the number that a statement reads from a database.
func (s *Server) Count(t testing.TB, database, query string, args ...any) (n int64) {
	t.Helper()
	db, err := s.open(database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// CPU is the processor time of its processes that run.
func (s *Server) CPU() (used time.Duration) {
	pid := s.cmd.Process.Pid
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, child := range strings.Fields(string(children)) {
		text, _ := os.ReadFile("/proc/" + child + "/schedstat")
		if fields := strings.Fields(string(text)); len(fields) > 0 {
			ns, _ := strconv.ParseInt(fields[0], 10, 64)
			used += time.Duration(ns)
		}
	}
	return used
}

// Kill kills all its processes. Its files stay as they are.
func (s *Server) Kill() {
	s.signal(syscall.SIGKILL)
	<-s.ended
}

// Freeze stops all its processes, and Thaw lets them go on.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets a server go on that was stopped.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

// signal reaches the children too: each is in a process group of its own.
func (s *Server) signal(sig syscall.Signal) {
	if s.Ended() {
		return // its id may be another process's by now
	}
	pid := s.cmd.Process.Pid
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	syscall.Kill(pid, sig)
	for _, field := range strings.Fields(string(children)) {
		if child, err := strconv.Atoi(field); err == nil {
			syscall.Kill(child, sig)
		}
	}
}

// Ended reports whether the server has ended.
func (s *Server) Ended() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// Begin starts a server that was killed.
func (s *Server) Begin(t testing.TB) {
	t.Helper()
	var err error
	for end := time.Now().Add(startTime); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		os.Remove(filepath.Join(s.data(), "postmaster.pid"))
		if err = s.begin(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// Restart stops the server at once, as pg_ctl -m immediate does, and starts it.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.cmd.Process.Signal(syscall.SIGQUIT)
	<-s.ended
	s.Begin(t)
}

// Set changes settings of the running server.
func (s *Server) Set(t testing.TB, settings ...string) {
	t.Helper()
	if err := s.configure(settings); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, "postgres", "SELECT pg_reload_conf()")
}

// Standby makes and starts a standby of s, which calls itself name.
func (s *Server) Standby(t testing.TB, name string) *Server {
	t.Helper()
	other, err := prepare()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	err = other.run("pg_basebackup", "-D", other.data(), "-h", "127.0.0.1", "-p", strconv.Itoa(s.Port), "-U", "radmatch", "-c", "fast", "-X", "stream", "-R", "--no-sync")
	if err == nil {
		err = other.configure([]string{
			"unix_socket_directories = '" + other.dir + "'", "synchronous_standby_names = ''", "wal_retrieve_retry_interval = '200ms'",
			fmt.Sprintf("primary_conninfo = 'host=127.0.0.1 port=%d user=radmatch application_name=%s'", s.Port, name),
		})
	}
	if err == nil {
		os.Remove(filepath.Join(other.data(), "postgresql.auto.conf")) // it has another primary_conninfo
		err = other.begin()
	}
	if err != nil {
		t.Fatal(err)
	}
	return other
}

// Backup copies the files of the running server; Restore goes back to them.
func (s *Server) Backup(t testing.TB) (backup string) {
	t.Helper()
	backup = filepath.Join(s.dir, "backup")
	if err := s.run("pg_basebackup", "-D", backup, "-h", "127.0.0.1", "-p", strconv.Itoa(s.Port), "-U", "radmatch", "-c", "fast", "-X", "stream", "--no-sync"); err != nil {
		t.Fatal(err)
	}
	return backup
}

// Restore has the server be as it was when backup was made.
func (s *Server) Restore(t testing.TB, backup string) {
	t.Helper()
	s.Kill()
	err := os.RemoveAll(s.data())
	if err == nil {
		err = os.Rename(backup, s.data())
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Begin(t)
}

// Promote makes a standby a primary, and returns when it is one.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	s.Exec(t, "postgres", "SELECT pg_promote(true, 30)")
}

// Close ends the server and removes its files.
func (s *Server) Close() {
	if s.ended != nil {
		s.Thaw()
		s.signal(syscall.SIGQUIT)
		<-s.ended
	}
	os.RemoveAll(s.dir)
}
