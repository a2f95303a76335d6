package webpush

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/radmatch/radmatch/mfa/device"
)

// Reached says whether a push service answers.
type Reached struct {
	Host    string // with the port where it is not 443
	Devices int    // that have subscribed there
	Err     error  // nil: it answers; ErrService: it was not asked, it is not of the list
}

// maxReach bounds the hosts that Reach asks.
const maxReach = 32

// Reach asks every push service at which one of devices has subscribed whether it
// answers at all, and returns them by name. It sends nothing to the devices.
func (w *Sender) Reach(ctx context.Context, devices []device.Device) []Reached {
	found := map[string]*Reached{}
	for _, d := range devices {
		if d.Web == nil {
			continue
		}
		u, host, port, err := parseEndpoint(d.Web.Endpoint)
		if err != nil {
			continue // it was examined when it came
		}
		if port == "443" {
			u.Host = host
		}
		h := found[u.Host]
		if h == nil {
			if len(found) == maxReach {
				continue
			}
			h = &Reached{Host: u.Host}
			if w.serviceQueue(host, port) == nil {
				h.Err = ErrService
			}
			found[u.Host] = h
		}
		h.Devices++
	}
	var list []Reached
	var asked sync.WaitGroup
	for _, host := range slices.Sorted(maps.Keys(found)) {
		if h := found[host]; h.Err == nil {
			asked.Go(func() { h.Err = w.answers(ctx, h.Host) })
		}
	}
	asked.Wait()
	for _, host := range slices.Sorted(maps.Keys(found)) {
		list = append(list, *found[host])
	}
	w.client.CloseIdleConnections()
	return list
}

// answers returns nil where a host speaks HTTP over TLS. Whatever it says will do.
func (w *Sender) answers(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/", nil)
	if err != nil {
		return err
	}
	resp, err := w.client.Do(req)
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	if err != nil {
		return err
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxReply)
	return resp.Body.Close()
}
