package passwordtest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// FreeRADIUS is a real FreeRADIUS on a loopback port, with the users of
// testdata/freeradius, whose password is "right horse":
//
//	alice    with reply attributes, a Tunnel-Password among them
//	bob      whom it calls robert
//	chris    whom it asks for the code 246810
//	expired, locked: what MS-CHAP-Error knows of accounts
//
// Its methods are for one goroutine at a time.
type FreeRADIUS struct {
	Addr string

	dir, conf, secret string
	program           string
	cmd               *exec.Cmd
}

// NewFreeRADIUS starts one with its files in dir and the configuration in conf.
// Close ends it.
func NewFreeRADIUS(dir, conf, secret string) (*FreeRADIUS, error) {
	f := &FreeRADIUS{dir: dir, secret: secret}
	var err error
	if f.program, err = findProgram("freeradius"); err != nil {
		return nil, err
	}
	if f.conf, err = filepath.Abs(conf); err != nil {
		return nil, err
	}
	for range 3 { // another program may take the port in between
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		f.Addr = conn.LocalAddr().String()
		conn.Close()
		if err = f.Start(); err == nil {
			return f, nil
		}
		f.Close()
		if !f.inUse() {
			return nil, err
		}
	}
	return nil, fmt.Errorf("freeradius: no free port")
}

func (f *FreeRADIUS) log() string { return filepath.Join(f.dir, "start.log") }

func (f *FreeRADIUS) inUse() bool {
	text, _ := os.ReadFile(f.log())
	return bytes.Contains(text, []byte("Address already in use"))
}

// Start starts the server at its port, again after Kill, and waits until it is ready.
func (f *FreeRADIUS) Start() error {
	if err := os.Remove(f.log()); err != nil && !os.IsNotExist(err) {
		return err
	}
	_, port, err := net.SplitHostPort(f.Addr)
	if err != nil {
		return err
	}
	f.cmd = exec.Command(f.program, "-f", "-n", "radiusd", "-d", f.conf, "-l", f.log())
	f.cmd.Env = append(os.Environ(), "HOME_CONF="+f.conf, "HOME_DIR="+f.dir, "HOME_PORT="+port, "HOME_SECRET="+f.secret)
	// A test that is killed takes its server along.
	f.cmd.SysProcAttr = diesWithTest()
	if err := f.cmd.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		text, _ := os.ReadFile(f.log())
		switch {
		case bytes.Contains(text, []byte("Ready to process requests")):
			return nil
		case time.Now().After(deadline), bytes.Contains(text, []byte("Error")):
			f.Kill()
			return fmt.Errorf("freeradius did not start: %s", text)
		}
	}
}

// Kill ends the server as a crash would.
func (f *FreeRADIUS) Kill() {
	if f.cmd != nil && f.cmd.ProcessState == nil {
		f.cmd.Process.Kill()
		f.cmd.Wait()
	}
}

// Hang stops the server without ending it, Resume lets it go on.
func (f *FreeRADIUS) Hang() error   { return f.cmd.Process.Signal(syscall.SIGSTOP) }
func (f *FreeRADIUS) Resume() error { return f.cmd.Process.Signal(syscall.SIGCONT) }

// Close ends the server.
func (f *FreeRADIUS) Close() { f.Kill() }
