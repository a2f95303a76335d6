package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	radmatchName   = "radmatch"
	freeradiusName = "FreeRADIUS"     // keeps nothing
	keeperName     = "FreeRADIUS+SQL" // keeps event and used step, in SQLite
)

// server is a process under test.
type server struct {
	name string
	addr string // of its RADIUS socket
	web  string // of radmatch's pages
	cmd  *exec.Cmd
	took time.Duration // from start until it was ready

	limit time.Duration // of took; 0: startLimit
}

const startLimit = 2 * time.Minute

// startRadmatch runs `radmatch serve` and waits until it is ready.
func (b *bench) startRadmatch(ctx context.Context) (*server, error) {
	ready := b.path("radmatch", "ready")
	os.Remove(ready)
	s := &server{name: radmatchName, cmd: exec.CommandContext(ctx, b.radmatch, "serve", "-c", "radmatch.yaml", "--ready-file", ready)}
	s.cmd.Dir = b.path("radmatch")
	err := s.start(b.path("radmatch", "log"), func() bool {
		text, _ := os.ReadFile(ready)
		if !bytes.HasSuffix(text, []byte("end\n")) {
			return false
		}
		_, err := fmt.Sscanf(string(text), "radius %s\nweb %s", &s.addr, &s.web)
		return err == nil
	})
	return s, err
}

// startFreeRADIUS runs FreeRADIUS in the foreground and waits until its log
// says that it is ready.
func (b *bench) startFreeRADIUS(ctx context.Context) (*server, error) {
	return b.startFreeRADIUSThat(ctx, "radiusd", freeradiusAlone)
}

// startKeeper runs FreeRADIUS that keeps as much as radmatch: an event with the used
// step, synced before the Access-Accept, and no step twice.
func (b *bench) startKeeper(ctx context.Context) (*server, error) {
	if err := os.WriteFile(b.path("freeradius", "schema.sql"), []byte(keeperSchema), 0o600); err != nil {
		return nil, err
	}
	s, err := b.startFreeRADIUSThat(ctx, "keeper", freeradiusKeeping)
	if s != nil {
		s.name = keeperName
	}
	return s, err
}

func (b *bench) startFreeRADIUSThat(ctx context.Context, name string, keep *strings.Replacer) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	if err := b.writeFreeRADIUS(name, port, b.threads, keep); err != nil {
		return nil, err
	}
	return b.startFreeRADIUSAs(ctx, name, port)
}

// startFreeRADIUSAs runs it with the configuration of that name.
func (b *bench) startFreeRADIUSAs(ctx context.Context, name string, port int) (*server, error) {
	log := b.path("freeradius", name+".start.log")
	os.Remove(log)
	s := &server{name: freeradiusName, addr: fmt.Sprintf("127.0.0.1:%d", port)}
	s.cmd = exec.CommandContext(ctx, b.freeradius, "-f", "-n", name, "-d", b.path("freeradius"), "-l", log)
	return s, s.start(b.path("freeradius", name+".output"), func() bool {
		text, _ := os.ReadFile(log)
		return bytes.Contains(text, []byte("Ready to process requests"))
	})
}

// start runs the process with its output in a file until ready says yes.
func (s *server) start(output string, ready func() bool) error {
	f, err := os.Create(output)
	if err != nil {
		return err
	}
	defer f.Close()
	s.cmd.Stdout, s.cmd.Stderr = f, f
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for !ready() {
		if time.Since(began) > cmp.Or(s.limit, startLimit) || !s.alive() {
			s.kill()
			text, _ := os.ReadFile(output)
			return fmt.Errorf("%s did not start: %s", s.name, bytes.TrimSpace(text))
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.took = time.Since(began)
	return nil
}

func (s *server) alive() bool {
	stat, err := s.stat()
	return err == nil && stat[0] != "Z"
}

// stop ends the process in order, kill at once.
func (s *server) stop() { s.end(os.Interrupt) }
func (s *server) kill() { s.end(os.Kill) }

func (s *server) end(sig os.Signal) {
	if s == nil || s.cmd == nil || s.cmd.ProcessState != nil {
		return
	}
	_ = s.cmd.Process.Signal(sig) // it may be gone
	_ = s.cmd.Wait()              // its exit code says nothing here
}

// stat returns the fields of /proc/PID/stat from the state on (proc_pid_stat(5)).
func (s *server) stat() ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return nil, err
	}
	_, fields, ok := strings.Cut(string(text), ") ")
	if !ok {
		return nil, errors.New("/proc/PID/stat: no command")
	}
	return strings.Fields(fields), nil
}

// cpu is the processor time that the process has used, user and system.
func (s *server) cpu() (time.Duration, error) {
	fields, err := s.stat()
	if err != nil || len(fields) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat of %s: %w", s.name, err)
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// resident is what the process holds in memory, in MiB.
func (s *server) resident() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("/proc/PID/status: no VmRSS")
}

func freePort() (int, error) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port, nil
}
