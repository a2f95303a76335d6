package winbind

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"layeh.com/radius/rfc2759"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
)

const (
	// timeout is how long a question may take. Winbind itself says "no logon servers"
	// after about three seconds.
	timeout = 8 * time.Second
	// waitersPerHelper bounds the queue: with a domain that answers in 10 ms the last
	// one waits 640 ms.
	waitersPerHelper = 64
	// maxBackoff bounds the wait before a helper is started again.
	maxBackoff = 5 * time.Second
)

// errHelper: the program itself fails.
var errHelper = errors.New("ntlm_auth")

// Checker asks Active Directory whether an MS-CHAPv2 response is right, through
// winbind: a bounded number of Samba's ntlm_auth programs that live long, so
// that a login costs no start of a program. Its methods may be called
// concurrently.
//
// A helper answers questions in their order, and nothing in an answer says to
// which question it belongs. A helper that was late, or said anything that was
// not expected, is killed for that reason: its next answer could let in another
// user.
type Checker struct {
	// Timeout bounds one question, the wait for a helper included. It may be changed
	// while none is out.
	Timeout time.Duration

	program string
	gate    *password.Gate
	asked   *asked

	mu       sync.Mutex
	idle     []*helper
	closed   bool
	failures int       // in a row
	retry    time.Time // no start before it
	last     error     // of the last failure
}

// New starts nothing yet. The error is about a program that is not there.
func New(program string, helpers int) (*Checker, error) {
	info, err := os.Stat(program)
	switch {
	case err != nil:
		return nil, fmt.Errorf("ntlm_auth: %w", err)
	case info.IsDir() || info.Mode().Perm()&0o111 == 0:
		return nil, fmt.Errorf("ntlm_auth: %s is not a program", program)
	}
	return &Checker{program: program, Timeout: timeout, gate: password.GateOf(helpers, helpers*waitersPerHelper), asked: newAsked()}, nil
}

// Close ends the helpers that are idle; one that is at work ends after its answer.
func (w *Checker) Close() {
	w.mu.Lock()
	idle := w.idle
	w.idle, w.closed = nil, true
	w.mu.Unlock()
	for _, h := range idle {
		h.kill()
	}
}

// Check examines the response that c holds for the account of a domain (its
// sAMAccountName; the domain's DNS or NetBIOS name). name is what the client
// computed the response with. The errors are those of mfa.PasswordChecker.
func (w *Checker) Check(ctx context.Context, domain, account, name string, c mfa.MSCHAPv2) (*mfa.MSCHAPKeys, error) {
	if err := plainAccount(domain, account); err != nil {
		return nil, err
	}
	challenge := rfc2759.ChallengeHash(c.PeerChallenge[:], c.AuthChallenge[:], []byte(name))
	key, err := w.ask(ctx, questionOf(domain, account, challenge, c.NTResponse[:]))
	if err != nil {
		return nil, err
	}
	return &mfa.MSCHAPKeys{NTHashHash: key, Name: name}, nil
}

// Connect asks about an account that cannot exist: the domain's no shows that
// helper, winbind and domain controller work, and it counts against no user.
func (w *Checker) Connect(ctx context.Context) error {
	_, err := w.ask(ctx, questionOf("", "radmatch?check", make([]byte, 8), make([]byte, 24)))
	failed := &mfa.ConnectError{Server: w.program, Step: "domain", Err: err,
		Hint: "has this host joined the domain, and does it find a domain controller? try: net ads testjoin; wbinfo --ping-dc"}
	switch {
	case err == nil:
		failed.Err = errors.New("an account that cannot exist was let in")
	case errors.Is(err, mfa.ErrRejected):
		return nil
	case errors.Is(err, errNoWinbind):
		failed.Step = "winbind"
		failed.Hint = "does winbindd run, and may this user ask it? systemctl status winbind; the user that radmatch runs as must be in the group winbindd_priv"
	case errors.Is(err, errHelper):
		failed.Step = "helper"
		failed.Hint = "run it by hand as the user that radmatch runs as: " + w.program + " --helper-protocol=ntlm-server-1"
	}
	return failed
}

// plainAccount refuses names that winbind or a domain controller would take
// apart: what is asked about must be the account that the directory found, not
// one that a part of its name names.
func plainAccount(domain, account string) error {
	if domain == "" || account == "" || len(domain) > 255 || len(account) > 255 ||
		strings.ContainsAny(domain+account, `\/@`) || !utf8.ValidString(domain+account) ||
		strings.ContainsFunc(domain+account, unicode.IsControl) {
		return fmt.Errorf("ntlm_auth: account %q of domain %q cannot be asked for: %w", account, domain, mfa.ErrUnsupported)
	}
	return nil
}

// questionOf is one question of the protocol ntlm-server-1. Names are in
// base64: a line break in one must not begin a line of its own.
func questionOf(domain, account string, challenge, response []byte) string {
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("Username:: %s\nNT-Domain:: %s\nLANMAN-Challenge: %x\nNT-Response: %x\nRequest-User-Session-Key: Yes\n.\n",
		encode([]byte(account)), encode([]byte(domain)), challenge, response)
}

// ask puts a question to a helper, once for all who ask the same: a NAS that
// sends one response again and again must not lock the account. The exchange
// goes on when ctx ends, so that the helper can be used again. A nil error means
// that the response is right.
func (w *Checker) ask(ctx context.Context, question string) (key [16]byte, err error) {
	v, first := w.asked.claim(sha256.Sum256([]byte(question)), time.Now())
	if first {
		go func() {
			reply, err := w.exchange(context.WithoutCancel(ctx), question, time.Now().Add(w.Timeout))
			if err == nil {
				err = reply.refusal()
			}
			w.asked.settle(v, reply.key, err, time.Now())
		}()
	}
	select {
	case <-v.done:
		return v.sessionKey, v.err
	case <-ctx.Done():
		return key, ctx.Err()
	}
}

// exchange waits for a helper and asks it.
func (w *Checker) exchange(ctx context.Context, question string, deadline time.Time) (answer, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if err := w.gate.Enter(ctx); err != nil {
		return answer{}, fmt.Errorf("ntlm_auth: all helpers are at work: %w", err)
	}
	defer w.gate.Leave()
	h, err := w.take(time.Now())
	if err != nil {
		return answer{}, err
	}
	reply, err := h.ask(question, deadline)
	if err != nil {
		h.kill()
		return answer{}, w.failed(fmt.Errorf("%w: %w%s", errHelper, err, h.lastWords()), time.Now())
	}
	w.give(h)
	return reply, nil
}

// take returns a helper that is idle, or starts one.
func (w *Checker) take(now time.Time) (*helper, error) {
	w.mu.Lock()
	for len(w.idle) > 0 {
		h := w.idle[len(w.idle)-1]
		w.idle = w.idle[:len(w.idle)-1]
		if h.alive() {
			w.mu.Unlock()
			return h, nil
		}
		h.kill()
	}
	closed, wait, last := w.closed, w.retry.Sub(now), w.last
	w.mu.Unlock()
	switch {
	case closed:
		return nil, errors.New("ntlm_auth: closed by a reload")
	case wait > 0:
		return nil, fmt.Errorf("not started again before %v: %w", wait.Round(time.Millisecond), last)
	}
	h, err := startHelper(w.program)
	if err != nil {
		return nil, w.failed(fmt.Errorf("%w: %w", errHelper, err), now)
	}
	return h, nil
}

// give puts a helper back that has answered.
func (w *Checker) give(h *helper) {
	w.mu.Lock()
	w.failures, w.retry = 0, time.Time{}
	keep := !w.closed
	if keep {
		w.idle = append(w.idle, h)
	}
	w.mu.Unlock()
	if !keep {
		h.kill()
	}
}

// failed makes the next start wait: 100 ms after the first failure, twice as
// long after each that follows it without an answer in between.
func (w *Checker) failed(err error, now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.retry = now.Add(min(maxBackoff, 100*time.Millisecond<<min(w.failures, 10)))
	w.failures++
	w.last = err
	return err
}
