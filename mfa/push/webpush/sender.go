package webpush

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
)

// ErrService means that an endpoint is not of a service that this server sends to.
var ErrService = errors.New("not a push service of the list")

// Options say how messages are sent.
type Options struct {
	VAPID    *VAPID
	Store    device.WebSubscriptionStore
	Services []Service
	Roots    *x509.CertPool // of push services; nil: the system's
	Logger   *zap.Logger    // nil: none
}

// Sender notifies phones: it sends messages to the push services of browsers (RFC
// 8030). A service that hangs or refuses blocks no other: what waits for one is
// bounded, waits for no other, and ends with its prompt. Its methods may be
// called concurrently.
type Sender struct {
	vapid  *VAPID
	store  device.WebSubscriptionStore
	log    *zap.Logger
	client *http.Client
	queues []*serviceQueue
}

// serviceQueue is the queue of one entry of the list.
type serviceQueue struct {
	service  Service
	queue    chan *notice
	retrying atomic.Int64 // notices that wait for their next try

	mu     sync.Mutex
	failed int       // since told
	told   time.Time // when the log had the last line
}

// notice is a message on its way.
type notice struct {
	ctx      context.Context // the prompt's: what is over need not be sent
	device   string          // id
	sub      *device.WebSubscription
	endpoint *url.URL
	message  Message
	expires  time.Time
	tries    int
}

const (
	queueWorkers = 16
	maxNotices   = 1024 // that wait for one service, and as many for another try
	maxTries     = 4
	firstPause   = time.Second // before the second try; then twice as long each
	sendTimeout  = 10 * time.Second
	dialTimeout  = 5 * time.Second
	tellEvery    = time.Minute // a service that fails has a line in the log
	maxReply     = 4 << 10     // bytes of a service's answer that are read
)

// New returns a sender. It sends once Run works.
func New(o Options) *Sender {
	w := &Sender{vapid: o.VAPID, store: o.Store, log: o.Logger}
	if w.log == nil {
		w.log = zap.NewNop()
	}
	for _, s := range o.Services {
		w.queues = append(w.queues, &serviceQueue{service: s, queue: make(chan *notice, maxNotices)})
	}
	w.client = &http.Client{
		// A redirect leads away from the list.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            w.dial, // and no proxy, which would look up names itself
			TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    dialTimeout,
			ForceAttemptHTTP2:      true,
			MaxConnsPerHost:        queueWorkers,
			MaxIdleConnsPerHost:    2,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: 16 << 10,
			// A connection that a firewall has forgotten would take messages until it idles.
			HTTP2: &http.HTTP2Config{SendPingTimeout: dialTimeout, PingTimeout: dialTimeout},
		},
	}
	return w
}

// PublicKey is what browsers subscribe with.
func (w *Sender) PublicKey() string { return w.vapid.PublicKey() }

// Subscribe gives a device this subscription, in place of an earlier one. The
// error is device.ErrMalformed, ErrService, device.ErrNoDevice, or the store's.
func (w *Sender) Subscribe(ctx context.Context, device string, sub *device.WebSubscription) error {
	if err := w.Accepts(sub.Endpoint); err != nil {
		return err
	}
	return w.store.SetWebSubscription(ctx, device, sub)
}

// Unsubscribe takes a device's subscription away, if it has one.
func (w *Sender) Unsubscribe(ctx context.Context, device string) error {
	return w.store.SetWebSubscription(ctx, device, nil)
}

// Accepts returns nil for an endpoint of the list.
func (w *Sender) Accepts(endpoint string) error {
	_, host, port, err := parseEndpoint(endpoint)
	if err == nil && w.serviceQueue(host, port) == nil {
		err = ErrService
	}
	return err
}

func (w *Sender) serviceQueue(host, port string) *serviceQueue {
	for _, l := range w.queues {
		if l.service.has(host, port) {
			return l
		}
	}
	return nil
}

// Run sends until ctx ends, and returns when nothing is on its way any more.
func (w *Sender) Run(ctx context.Context) {
	var workers sync.WaitGroup
	for _, l := range w.queues {
		for range queueWorkers {
			workers.Go(func() { w.work(ctx, l) })
		}
	}
	workers.Wait()
	w.client.CloseIdleConnections()
}

func (w *Sender) work(ctx context.Context, l *serviceQueue) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-l.queue:
			w.deliver(ctx, l, r)
		}
	}
}

// Notify sends the message of a prompt to every device that has subscribed, once
// each. It waits for nothing. stop ends what is not yet sent. A nil Sender notifies no device.
func (w *Sender) Notify(ctx context.Context, p *mfa.Prompt, devices []device.Device) (stop context.CancelFunc) {
	stop = func() {}
	if w == nil || p.Resumed { // it was notified before the server's restart
		return stop
	}
	notified := make(map[string]bool, len(devices)) // a browser that is enrolled twice is notified once
	for _, d := range devices {
		if d.Web == nil || notified[d.Web.Endpoint] {
			continue
		}
		if len(notified) == 0 {
			ctx, stop = context.WithCancel(ctx)
		}
		notified[d.Web.Endpoint] = true
		endpoint, host, port, err := parseEndpoint(d.Web.Endpoint)
		if err != nil {
			continue
		}
		l := w.serviceQueue(host, port)
		if l == nil {
			continue // it was on the list once; `radmatch check --connect` says so
		}
		w.offer(l, &notice{ctx: ctx, device: d.ID, sub: d.Web, endpoint: endpoint, expires: lifeOf(ctx, p),
			message: Message{Kind: KindPrompt, ID: p.ID}})
	}
	return stop
}

// lifeOf is when a prompt ends.
func lifeOf(ctx context.Context, p *mfa.Prompt) time.Time {
	if deadline, ok := ctx.Deadline(); ok && (p.Expires.IsZero() || deadline.Before(p.Expires)) {
		return deadline
	}
	if p.Expires.IsZero() {
		return time.Now().Add(maxTTL * time.Second)
	}
	return p.Expires
}

func (w *Sender) offer(l *serviceQueue, r *notice) {
	select {
	case l.queue <- r:
	default:
		w.tell(l, r, errors.New("too many messages wait for this service"))
	}
}

// deliver makes one try, and sees to the next.
func (w *Sender) deliver(ctx context.Context, l *serviceQueue, r *notice) {
	if r.ctx.Err() != nil || !time.Now().Before(r.expires) {
		return
	}
	r.tries++
	err := w.post(ctx, r)
	if r.ctx.Err() != nil || ctx.Err() != nil {
		return // decided meanwhile, or the server stops
	}
	var again *retryError
	switch {
	case err == nil:
		w.works(l)
	case errors.Is(err, errSubscriptionOver):
		w.forget(ctx, r)
	case errors.As(err, &again):
		w.tell(l, r, err)
		pause := firstPause << (r.tries - 1)
		pause = max(again.after, pause/2+rand.N(pause/2))
		if r.tries == maxTries || !time.Now().Add(pause).Before(r.expires) {
			return
		}
		if l.retrying.Add(1) > maxNotices {
			l.retrying.Add(-1)
			return
		}
		// Not here: a worker that sleeps sends nobody else's.
		time.AfterFunc(pause, func() {
			l.retrying.Add(-1)
			w.offer(l, r)
		})
	default:
		w.tell(l, r, err)
	}
}

// errSubscriptionOver means that a subscription is over (RFC 8030 §7.3; services answer 404 too).
var errSubscriptionOver = errors.New("subscription is over")

// retryError means that the service may take the message later.
type retryError struct {
	err   error
	after time.Duration
}

func (e *retryError) Error() string { return e.err.Error() }

// post hands a message to the push service (RFC 8030 §5). Its errors have no
// more of the endpoint than the host.
func (w *Sender) post(stopped context.Context, r *notice) error {
	body, err := r.message.seal(r.sub)
	if err != nil {
		return err
	}
	now := time.Now()
	auth, err := w.vapid.authorization(r.endpoint, now)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.ctx, sendTimeout)
	defer cancel()
	defer context.AfterFunc(stopped, cancel)()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.endpoint.String(), bytes.NewReader(body))
	if err != nil {
		return errors.New("endpoint is no URL")
	}
	req.Header.Set("Authorization", auth)
	req.Header.Set("Content-Encoding", "aes128gcm")
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("TTL", strconv.Itoa(secondsLeft(r.expires, now)))
	req.Header.Set("Urgency", "high") // RFC 8030 §5.3: also on a low battery
	// RFC 8030 §5.4: of messages that a phone did not get yet, one is enough.
	req.Header.Set("Topic", KindPrompt)
	resp, err := w.client.Do(req)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err // it repeats the URL
		}
		return &retryError{err: err}
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxReply) // so that the connection serves again
	return verdictOf(resp, now)
}

func verdictOf(resp *http.Response, now time.Time) error {
	switch code := resp.StatusCode; {
	case code/100 == 2:
		return nil
	case code == http.StatusNotFound, code == http.StatusGone:
		return errSubscriptionOver
	case code == http.StatusTooManyRequests, code/100 == 5:
		return &retryError{err: fmt.Errorf("answers %d", code), after: RetryAfter(resp.Header.Get("Retry-After"), now)}
	default:
		return fmt.Errorf("answers %d", code)
	}
}

// RetryAfter reads the header field of that name: seconds or a date (RFC 9110 §10.2.3); 0: neither.
func RetryAfter(value string, now time.Time) time.Duration {
	const most = 24 * time.Hour // longer than any prompt, and no overflow
	if n, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(most, time.Duration(n)*time.Second)
	}
	if t, err := http.ParseTime(value); err == nil {
		return max(0, min(most, t.Sub(now)))
	}
	return 0
}

// forget drops a subscription that is over.
func (w *Sender) forget(ctx context.Context, r *notice) {
	err := w.store.DropWebSubscription(ctx, r.device, r.sub.Endpoint)
	w.log.Info("web push: a subscription has ended; the device is notified again once its page was open",
		zap.String("device", r.device), zap.String("service", r.endpoint.Host), zap.Error(err))
}

// tell logs that a message was not delivered, at most one line a service and
// minute.
func (w *Sender) tell(l *serviceQueue, r *notice, err error) {
	w.log.Debug("web push: not delivered", zap.String("device", r.device), zap.String("service", r.endpoint.Host),
		zap.String("login", r.message.ID), zap.Int("try", r.tries), zap.Error(err))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed++
	if now := time.Now(); l.told.IsZero() || now.Sub(l.told) >= tellEvery {
		w.log.Warn("web push: messages are not delivered; open pages still get their requests",
			zap.String("service", r.endpoint.Host), zap.Int("messages", l.failed), zap.Error(err))
		l.failed, l.told = 0, now
	}
}

// works logs that a service takes messages again.
func (w *Sender) works(l *serviceQueue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.told.IsZero() && time.Since(l.told) >= tellEvery {
		w.log.Info("web push: messages are delivered again", zap.String("service", l.service.host), zap.Int("messages", l.failed))
		l.failed, l.told = 0, time.Time{}
	}
}
