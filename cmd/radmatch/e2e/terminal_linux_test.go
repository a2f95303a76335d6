package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudo terminal: what a user types and sees, and the end
// of the program.
func openTerminal(t *testing.T) (terminal, program *os.File) {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	if err := unix.IoctlSetPointerInt(int(terminal.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return terminal, program
}

// TestPasswordIsNotShown: the prompt comes when the terminal shows nothing any more of
// what is typed; before, a quick user's password would stand there.
func TestPasswordIsNotShown(t *testing.T) {
	p := newServer(t, siteHead+siteClient)
	for range 10 {
		for _, args := range [][]string{{"hash", "--scheme", "nt"}, {"login", "alice"}} {
			terminal, program := openTerminal(t)
			cmd := p.command(nil, args...)
			cmd.Stdin, cmd.Stderr = program, program
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			awaitPrompt(t, terminal, cmd)
			state, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			if state.Lflag&unix.ECHO != 0 {
				t.Errorf("%v: what is typed at the prompt is shown", args)
			}
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
}

func awaitPrompt(t *testing.T, terminal *os.File, cmd *exec.Cmd) {
	t.Helper()
	timer := time.AfterFunc(testTimeout, func() { cmd.Process.Kill(); terminal.Close() })
	defer timer.Stop()
	var seen bytes.Buffer
	one := make([]byte, 1)
	for !bytes.HasSuffix(seen.Bytes(), []byte("Password: ")) {
		if _, err := terminal.Read(one); err != nil {
			t.Fatalf("%v; it has shown %q; want no error", err, seen.String())
		}
		seen.Write(one)
	}
}
