package password

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
)

const (
	// ntlmPatience bounds one question to winbind, the wait for a helper included.
	// Winbind itself says "no logon servers" after about three seconds.
	ntlmPatience = 8 * time.Second
	// ntlmWaiters bounds the queue: with a domain that answers in 10 ms the last
	// one waits 640 ms.
	ntlmWaiters = 64
	// maxNTLMBackoff bounds the wait before a helper is started again.
	maxNTLMBackoff = 5 * time.Second
)

// errNTLMHelper: the program itself fails.
var errNTLMHelper = errors.New("ntlm_auth")

// ntlm asks Active Directory whether an MS-CHAPv2 response is right, through
// winbind: a bounded number of Samba's ntlm_auth programs that live long, so
// that a login costs no start of a program. Its methods may be called
// concurrently.
//
// A helper answers questions in their order, and nothing in an answer says to
// which question it belongs. A helper that was late, or said anything that was
// not expected, is killed for that reason: its next answer could let in another
// user.
type ntlm struct {
	program  string
	patience time.Duration // for one question; may be changed until the first
	gate     *Gate
	asked    *ntlmAsked

	mu       sync.Mutex
	idle     []*ntlmHelper
	closed   bool
	failures int       // in a row
	retry    time.Time // no start before it
	last     error     // of the last failure
}

// newNTLM starts nothing yet. The error is about a program that is not there.
func newNTLM(program string, helpers int) (*ntlm, error) {
	info, err := os.Stat(program)
	switch {
	case err != nil:
		return nil, fmt.Errorf("ntlm_auth: %w", err)
	case info.IsDir() || info.Mode().Perm()&0o111 == 0:
		return nil, fmt.Errorf("ntlm_auth: %s is not a program", program)
	}
	return &ntlm{program: program, patience: ntlmPatience, gate: newGate(helpers, helpers*ntlmWaiters), asked: newNTLMAsked()}, nil
}

// close ends the helpers that are idle; one that is at work ends after its answer.
func (n *ntlm) close() {
	n.mu.Lock()
	idle := n.idle
	n.idle, n.closed = nil, true
	n.mu.Unlock()
	for _, h := range idle {
		h.kill()
	}
}

// check examines the response that c holds for the account of a domain (its
// sAMAccountName; the domain's DNS or NetBIOS name). name is what the client
// computed the response with. The errors are those of mfa.PasswordChecker.
func (n *ntlm) check(ctx context.Context, domain, account, name string, c mfa.MSCHAPv2) (*mfa.MSCHAPKeys, error) {
	if err := plainAccount(domain, account); err != nil {
		return nil, err
	}
	challenge := rfc2759.ChallengeHash(c.PeerChallenge[:], c.AuthChallenge[:], []byte(name))
	key, err := n.ask(ctx, ntlmQuestion(domain, account, challenge, c.NTResponse[:]))
	if err != nil {
		return nil, err
	}
	return &mfa.MSCHAPKeys{NTHashHash: key, Name: name}, nil
}

// connect asks about an account that cannot exist: the domain's no shows that
// helper, winbind and domain controller work, and it counts against nobody.
func (n *ntlm) connect(ctx context.Context) error {
	_, err := n.ask(ctx, ntlmQuestion("", "radmatch?check", make([]byte, 8), make([]byte, 24)))
	failed := &mfa.ConnectError{Server: n.program, Step: "domain", Err: err,
		Hint: "has this host joined the domain, and does it find a domain controller? try: net ads testjoin; wbinfo --ping-dc"}
	switch {
	case err == nil:
		failed.Err = errors.New("an account that cannot exist was let in")
	case errors.Is(err, mfa.ErrRejected):
		return nil
	case errors.Is(err, errNoWinbind):
		failed.Step = "winbind"
		failed.Hint = "does winbindd run, and may this user ask it? systemctl status winbind; the user that radmatch runs as must be in the group winbindd_priv"
	case errors.Is(err, errNTLMHelper):
		failed.Step = "helper"
		failed.Hint = "run it by hand as the user that radmatch runs as: " + n.program + " --helper-protocol=ntlm-server-1"
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

// ntlmQuestion is one question of the protocol ntlm-server-1. Names are in
// base64: a line break in one must not begin a line of its own.
func ntlmQuestion(domain, account string, challenge, response []byte) string {
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("Username:: %s\nNT-Domain:: %s\nLANMAN-Challenge: %x\nNT-Response: %x\nRequest-User-Session-Key: Yes\n.\n",
		encode([]byte(account)), encode([]byte(domain)), challenge, response)
}

// ask puts a question to a helper, once for all who ask the same: a NAS that
// sends one response again and again must not lock the account. The exchange
// goes on when ctx ends, so that the helper can be used again. A nil error means
// that the response is right.
func (n *ntlm) ask(ctx context.Context, question string) (key [16]byte, err error) {
	v, first := n.asked.claim(sha256.Sum256([]byte(question)), time.Now())
	if first {
		go func() {
			reply, err := n.exchange(context.WithoutCancel(ctx), question, time.Now().Add(n.patience))
			if err == nil {
				err = reply.refusal()
			}
			n.asked.settle(v, reply.key, err, time.Now())
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
func (n *ntlm) exchange(ctx context.Context, question string, deadline time.Time) (ntlmReply, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if err := n.gate.enter(ctx); err != nil {
		return ntlmReply{}, fmt.Errorf("ntlm_auth: all helpers are at work: %w", err)
	}
	defer n.gate.leave()
	h, err := n.take(time.Now())
	if err != nil {
		return ntlmReply{}, err
	}
	reply, err := h.ask(question, deadline)
	if err != nil {
		h.kill()
		return ntlmReply{}, n.failed(fmt.Errorf("%w: %w%s", errNTLMHelper, err, h.lastWords()), time.Now())
	}
	n.give(h)
	return reply, nil
}

// take returns a helper that is idle, or starts one.
func (n *ntlm) take(now time.Time) (*ntlmHelper, error) {
	n.mu.Lock()
	for len(n.idle) > 0 {
		h := n.idle[len(n.idle)-1]
		n.idle = n.idle[:len(n.idle)-1]
		if h.alive() {
			n.mu.Unlock()
			return h, nil
		}
		h.kill()
	}
	closed, wait, last := n.closed, n.retry.Sub(now), n.last
	n.mu.Unlock()
	switch {
	case closed:
		return nil, errors.New("ntlm_auth: closed by a reload")
	case wait > 0:
		return nil, fmt.Errorf("not started again before %v: %w", wait.Round(time.Millisecond), last)
	}
	h, err := startNTLMHelper(n.program)
	if err != nil {
		return nil, n.failed(fmt.Errorf("%w: %w", errNTLMHelper, err), now)
	}
	return h, nil
}

// give puts a helper back that has answered.
func (n *ntlm) give(h *ntlmHelper) {
	n.mu.Lock()
	n.failures, n.retry = 0, time.Time{}
	keep := !n.closed
	if keep {
		n.idle = append(n.idle, h)
	}
	n.mu.Unlock()
	if !keep {
		h.kill()
	}
}

// failed makes the next start wait: 100 ms after the first failure, twice as
// long after each that follows it without an answer in between.
func (n *ntlm) failed(err error, now time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.retry = now.Add(min(maxNTLMBackoff, 100*time.Millisecond<<min(n.failures, 10)))
	n.failures++
	n.last = err
	return err
}
