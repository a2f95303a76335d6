package push

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/push/webpush"
	"github.com/radmatch/radmatch/mfa/textfile"
)

// The bounds of a request to a provider's server.
const (
	maxTries       = 3
	retryAfter     = 500 * time.Millisecond // before the first retry; then twice that
	maxRetryAfter  = 5 * time.Second        // of what the server asks for
	maxReply       = 16 << 10
	withdrawTime   = 5 * time.Second
	maxWithdrawals = 64 // at once
	maxServerConns = 64
)

// errUnanswered: the request may have arrived, and no answer came.
var errUnanswered = errors.New("no answer")

// outbound sends requests to a provider's server. No error of it repeats the
// path of a URL, which may be a secret, or what the server said.
type outbound struct {
	base      *url.URL
	timeout   time.Duration // of one request
	client    *http.Client
	withdraws chan struct{} // who is in it may withdraw
}

// newOutbound checks the URL and reads caFile, where it is not "".
func newOutbound(address, caFile string, timeout time.Duration) (*outbound, error) {
	base, err := parseProviderURL(address)
	if err != nil {
		return nil, err
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		if secure.RootCAs, err = textfile.Roots(caFile); err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
	}
	return &outbound{
		base: base, timeout: timeout, withdraws: make(chan struct{}, maxWithdrawals),
		client: &http.Client{
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure, ForceAttemptHTTP2: true,
				TLSHandshakeTimeout: timeout, MaxConnsPerHost: maxServerConns, MaxIdleConnsPerHost: 4,
				IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxReply,
			},
			// A client that follows one hands token and prompt to another server.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// parseProviderURL refuses what would send a prompt over a network in clear.
func parseProviderURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("must be https://HOST, with a path perhaps")
	}
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return nil, errors.New("must be https://HOST, or http:// and a loopback address")
	}
	return u, nil
}

// server names the server to readers.
func (o *outbound) server() string { return o.base.Scheme + "://" + o.base.Host }

// message is one request.
type message struct {
	method, url string
	body        []byte
	header      http.Header
}

// sendPrompt sends m, a prompt for a user, so that it arrives at most once: again
// only where the server cannot have acted on it, because nothing was sent or it
// said so itself. errUnanswered: not known.
func (o *outbound) sendPrompt(ctx context.Context, m message) error {
	wait := retryAfter
	for try := 1; ; try++ {
		r, err := o.send(ctx, m)
		switch {
		case err == nil && r.status/100 == 2:
			return nil
		case err != nil:
			err = fmt.Errorf("%s: %w", o.server(), err)
		default:
			err = o.refused(r.status)
		}
		again := r.status == 0 || r.status == http.StatusTooManyRequests || r.status == http.StatusServiceUnavailable
		if !again || errors.Is(err, errUnanswered) || try == maxTries {
			return err
		}
		select {
		case <-time.After(min(max(wait, r.after), maxRetryAfter)):
			wait *= 2
		case <-ctx.Done():
			return err
		}
	}
}

func (o *outbound) refused(status int) error {
	if status/100 == 3 {
		return fmt.Errorf("%s: answers with a redirect (%d), which is not followed", o.server(), status)
	}
	return fmt.Errorf("%s: answers with status %d", o.server(), status)
}

// received is what a server answers.
type received struct {
	status int
	after  time.Duration // Retry-After
	body   []byte        // at most maxReply of it
}

// send makes one attempt. An error is errUnanswered where m may have arrived.
func (o *outbound) send(ctx context.Context, m message) (received, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	var began atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { began.Store(true) }})
	r, err := http.NewRequestWithContext(traced, m.method, m.url, bytes.NewReader(m.body))
	if err != nil {
		return received{}, errors.New("the request cannot be made")
	}
	for k, v := range m.header {
		r.Header[k] = v
	}
	r.Header.Set("User-Agent", "radmatch")
	// Never an Idempotency-Key: net/http then sends again by itself what may have arrived.
	resp, err := o.client.Do(r)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err // without the URL
		}
		if began.Load() {
			return received{}, fmt.Errorf("%w: %w", errUnanswered, unspoken(err))
		}
		return received{}, err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxReply)) // also so that the connection can be used again
	return received{resp.StatusCode, webpush.RetryAfter(resp.Header.Get("Retry-After"), time.Now()), body}, nil
}

// errForeign stands for errors of net/http that quote what came.
var errForeign = errors.New("what came is not HTTP, or its header is too long")

// unspoken keeps an error that the server cannot have worded.
func unspoken(err error) error {
	var network net.Error // also the end of a context's time
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled) {
		return err
	}
	return errForeign
}

// withdraw sends m in the background, once: the login must not wait for it, and
// a prompt that stays on a screen decides nothing. Where too many are under way
// it is left out.
func (o *outbound) withdraw(m message) {
	select {
	case o.withdraws <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-o.withdraws }()
		ctx, cancel := context.WithTimeout(context.Background(), withdrawTime)
		defer cancel()
		_, _ = o.send(ctx, m)
	}()
}

// connect sends m and says what failed, for `radmatch check --connect`. well
// says what is wrong with an answer; nil: nothing can be.
func (o *outbound) connect(ctx context.Context, m message, hints map[int]string, well func(body []byte) error) error {
	r, err := o.send(ctx, m)
	switch {
	case err != nil:
		return o.unreachable(err)
	case r.status/100 != 2:
		err = fmt.Errorf("status %d", r.status)
	case well != nil:
		err = well(r.body)
	}
	if err == nil {
		return nil
	}
	failed := &mfa.ConnectError{Server: o.server(), Step: "http", Err: err, Hint: hints[r.status]}
	switch {
	case r.status/100 == 3:
		failed.Hint = "redirects are not followed: name the address that it leads to"
	case failed.Hint == "":
		failed.Hint = "the server refuses for now, or has a fault of its own: see its log"
	}
	return failed
}

// unreachable says at which step an attempt without an answer failed.
func (o *outbound) unreachable(err error) *mfa.ConnectError {
	failed := &mfa.ConnectError{Server: o.server(), Step: "connect", Err: err, Hint: "is the address right, and does a firewall let this machine out"}
	dns, verify := (*net.DNSError)(nil), (*tls.CertificateVerificationError)(nil)
	record := tls.RecordHeaderError{}
	switch {
	case errors.As(err, &dns):
		failed.Step, failed.Hint = "dns", "the name of the server cannot be resolved: check url and the DNS of this machine"
	case errors.As(err, &record), strings.Contains(err.Error(), "HTTP response to HTTPS"): // net/http says it only in words
		failed.Step, failed.Hint = "tls", "the port speaks no TLS: use http://, only on this machine, or the right port"
	case errors.As(err, &verify):
		failed.Step, failed.Hint = "tls", "put the certificate of the authority that issued the server's into ca_file, and use the name that is in the certificate"
	case errors.Is(err, errUnanswered):
		failed.Step, failed.Hint = "http", "the server takes connections and does not answer: see its log"
	}
	return failed
}
