package web

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/front"
)

// caller is a device whose request has been verified.
type caller struct {
	device.Device
	version int // that it speaks in this request
	body    []byte
}

// device lets only signed requests of registered devices through.
func (s *Server) device(next func(http.ResponseWriter, *http.Request, caller)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := s.authenticate(w, r)
		if err != nil {
			s.Logger.Debug("web: request refused", zap.String("path", r.URL.Path), zap.String("from", r.RemoteAddr), zap.Error(err))
			refuse(w, s.failed(w, r, err))
			return
		}
		front.Vouch(r)
		next(w, r, c)
	}
}

// The errors of authenticate, beside those of push.
var (
	errClock    = errors.New("time of the request is not the server's")
	errEarly    = errors.New("the request was signed before this server began")
	errReplayed = errors.New("nonce used before")
	errTooMany  = errors.New("too many requests of one device")
	errBusy     = errors.New("too many at once")
	errNotKept  = errors.New("not kept between two requests")
	errTooLarge = errors.New("body too large")
	errBody     = errors.New("body not read")
)

func (s *Server) authenticate(w http.ResponseWriter, r *http.Request) (caller, error) {
	auth, err := device.ParseRequestAuth(r.Header.Get("Authorization"))
	if err != nil {
		return caller{}, err
	}
	if err := device.CheckVersion(auth.Version); err != nil {
		return caller{}, err
	}
	now := time.Now()
	if auth.Age(now) > device.MaxSkew {
		return caller{}, errClock
	}
	if !s.Started.IsZero() && auth.Time <= s.Started.Unix() {
		return caller{}, errEarly
	}
	dev, err := s.Store.Device(r.Context(), auth.Device)
	if err != nil {
		return caller{}, err
	}
	body, err := readBody(w, r)
	if err != nil {
		return caller{}, err
	}
	if err := auth.Verify(dev.Key, r.Method, r.URL.RequestURI(), body); err != nil {
		return caller{}, err
	}
	if err := s.nonces.use(auth.Device, auth.Nonce, now); err != nil {
		return caller{}, err
	}
	if auth.Version != dev.Version || now.Sub(dev.Seen) > seenEvery {
		// Only what `device list` shows depends on this.
		if err := s.Store.SeenDevice(context.WithoutCancel(r.Context()), dev.ID, auth.Version, now); err != nil {
			s.Logger.Warn("web: last contact of a device not noted", zap.String("device", dev.ID), zap.Error(err))
		}
	}
	return caller{Device: dev, version: auth.Version, body: body}, nil
}

// seenEvery is how exact the time of a device's last contact is.
const seenEvery = time.Minute

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, errBody
	}
	return body, nil
}

// The nonces that are remembered of one device, which is also how many requests
// it has in two minutes, and of all.
const (
	maxDeviceNonces = 600
	maxNonces       = 500_000
	nonceSpan       = 2 * device.MaxSkew // a request can be sent from MaxSkew before its time until MaxSkew after
)

// nonces remembers what devices have signed for as long as it would be accepted
// again. The zero value is ready.
type nonces struct {
	mu        sync.Mutex
	began     time.Time // of current
	current   generation
	preceding generation
}

// generation holds the nonces of one span.
type generation struct {
	used  map[[16]byte]struct{}
	count map[string]int // by device
}

// use returns nil the first time, and an error where it cannot know.
func (n *nonces) use(device, nonce string, now time.Time) error {
	hash := sha256.Sum256([]byte(device + " " + nonce)) // a device id that is registered has no space
	key := [16]byte(hash[:16])
	n.mu.Lock()
	defer n.mu.Unlock()
	switch age := now.Sub(n.began); {
	case age >= 2*nonceSpan:
		n.began, n.current, n.preceding = now, generation{}, generation{}
	case age >= nonceSpan:
		n.began, n.current, n.preceding = now, generation{}, n.current
	}
	if n.current.used == nil {
		n.current = generation{used: make(map[[16]byte]struct{}), count: make(map[string]int)}
	}
	_, lately := n.current.used[key]
	_, before := n.preceding.used[key]
	switch {
	case lately || before:
		return errReplayed
	case n.current.count[device] >= maxDeviceNonces:
		return errTooMany
	case len(n.current.used) >= maxNonces:
		return errBusy
	}
	n.current.used[key] = struct{}{}
	n.current.count[device]++
	return nil
}
