package winbind

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// helper is one ntlm_auth that runs. One goroutine at a time may ask it.
type helper struct {
	cmd      *exec.Cmd
	in, out  *os.File
	answers  *bufio.Reader
	complain tail
	ended    chan struct{} // closed when the program has ended
}

// startHelper starts program with an empty environment. Nothing secret is in
// its arguments, which everyone on the machine can read: questions go over a pipe.
// MS-CHAPv2 is what the name of --allow-mschapv2 says: without it a domain
// controller that refuses NTLMv1, as it should, refuses this too.
func startHelper(program string) (*helper, error) {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirIn.Close()
	out, theirOut, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, err
	}
	defer theirOut.Close()
	h := &helper{in: in, out: out, answers: bufio.NewReaderSize(out, maxLine), ended: make(chan struct{})}
	h.cmd = exec.Command(program, "--helper-protocol=ntlm-server-1", "--allow-mschapv2")
	h.cmd.Stdin, h.cmd.Stdout, h.cmd.Stderr = theirIn, theirOut, &h.complain
	h.cmd.Env, h.cmd.Dir, h.cmd.WaitDelay = []string{}, "/", time.Second
	if err := h.cmd.Start(); err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	go func() {
		h.cmd.Wait()
		close(h.ended)
	}()
	return h, nil
}

func (h *helper) alive() bool {
	select {
	case <-h.ended:
		return false
	default:
		return true
	}
}

// kill ends the helper. It waits for nothing.
func (h *helper) kill() {
	h.cmd.Process.Kill()
	h.in.Close()
	h.out.Close()
}

// ask returns the answer to one question. After an error, of the deadline too,
// the helper must not be used again.
func (h *helper) ask(question string, deadline time.Time) (answer, error) {
	if err := errors.Join(h.in.SetDeadline(deadline), h.out.SetDeadline(deadline)); err != nil {
		return answer{}, err
	}
	if _, err := io.WriteString(h.in, question); err != nil {
		return answer{}, err
	}
	reply, err := readAnswer(h.answers)
	if err != nil {
		return answer{}, err
	}
	rest, _ := h.answers.Peek(h.answers.Buffered())
	if !strings.HasPrefix(".\n", string(rest)) {
		return answer{}, fmt.Errorf("says more than it was asked: %.60q", rest)
	}
	return reply, nil
}

// lastWords is what a helper that was killed wrote to its standard error, for the
// log. Its end is waited for, because its words may still be on their way.
func (h *helper) lastWords() string {
	select {
	case <-h.ended:
	case <-time.After(time.Second):
	}
	if text := h.complain.String(); text != "" {
		return fmt.Sprintf("; it says %q", text)
	}
	return ""
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const maxTail = 200

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b[max(0, len(b)-maxTail):]...)
	t.b = t.b[max(0, len(t.b)-maxTail):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}
