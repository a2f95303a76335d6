package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/radmatch/radmatch/mfa/textfile"
)

// Asker reads what a user types, without showing it on a terminal, or lines of
// standard input.
type Asker struct {
	out      io.Writer
	lines    *bufio.Reader
	terminal *os.File // nil: standard input is not one
}

// NewAsker asks on the terminal, if standard input is one and plain is not set.
func NewAsker(s Streams, plain bool) *Asker {
	k := &Asker{out: s.Stderr, lines: bufio.NewReader(s.Stdin)}
	if f, ok := s.Stdin.(*os.File); ok && !plain && term.IsTerminal(int(f.Fd())) {
		k.terminal = f
	}
	return k
}

// Line asks for one line. The end of standard input before a line is an error,
// and so is the end of ctx, which an interrupt is.
func (k *Asker) Line(ctx context.Context, prompt string, echo bool) (string, error) {
	if k.terminal == nil {
		return k.read()
	}
	restore := func() error { return nil }
	if !echo {
		var err error
		if restore, err = echoOff(k.terminal); err != nil {
			return "", err
		}
	}
	// Only now: what is typed before would stand there for all to see.
	fmt.Fprint(k.out, prompt)
	var text string
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		text, err = k.read()
	}()
	select {
	case <-done:
	case <-ctx.Done(): // the reader is left behind: the program ends
		text, err = "", ctx.Err()
	}
	if !echo {
		err = errors.Join(err, restore())
		fmt.Fprintln(k.out)
	}
	return text, err
}

func (k *Asker) read() (string, error) {
	text, err := k.lines.ReadString('\n')
	if err != nil && text == "" {
		return "", errors.New("standard input has ended")
	}
	return strings.TrimRight(strings.TrimPrefix(text, "\ufeff"), "\r\n"), nil
}

// ReadPassword asks for a new password twice on a terminal, and otherwise takes one
// line of the standard input, as it is, without the line's end.
func (s Streams) ReadPassword() (string, error) {
	if f, ok := s.Stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		first, err := s.askPassword(f, "Password: ")
		if err != nil {
			return "", err
		}
		second, err := s.askPassword(f, "Again: ")
		if err != nil {
			return "", err
		}
		if first != second {
			return "", errors.New("the two passwords differ")
		}
		return first, nil
	}
	const longest = 4096
	text, err := textfile.ReadFrom(s.Stdin, 0, longest)
	if err != nil {
		return "", fmt.Errorf("standard input: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line == "" {
		return "", WithHint("radmatch hash < FILE, or type it on a terminal", errors.New("no password on the standard input"))
	}
	return line, nil
}

func (s Streams) askPassword(f *os.File, prompt string) (string, error) {
	restore, err := echoOff(f)
	if err != nil {
		return "", fmt.Errorf("terminal: %w", err)
	}
	fmt.Fprint(s.Stderr, prompt)
	line, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(s.Stderr)
	if err := errors.Join(err, restore()); err != nil {
		return "", fmt.Errorf("terminal: %w", err)
	}
	return string(line), nil
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
