package web

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/radmatch/radmatch/mfa/front"
)

// maxDeviceStreams is how many streams a device may have. One more ends its
// oldest: a phone that changed networks leaves a dead connection behind, and
// must not be locked out by it.
const maxDeviceStreams = 2

// streams are the open event streams. The zero value is ready.
type streams struct {
	mu        sync.Mutex
	open      map[string][]open // by device
	addresses front.Tally
	count     int
	closed    bool
}

// open is one stream.
type open struct {
	stop chan struct{} // closed to end it
	from []netip.Prefix
}

// add registers a stream that comes from networks; where there are none, they have
// no limit of their own. It returns nil where there are too many.
func (s *streams) add(device string, from []netip.Prefix, limit, addressLimit int) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mine := s.open[device]; len(mine) == maxDeviceStreams {
		close(mine[0].stop)
		s.drop(device, mine[0].stop)
	}
	if s.closed || s.count >= limit || s.addresses.Full(from, addressLimit).IsValid() {
		return nil
	}
	if s.open == nil {
		s.open = make(map[string][]open)
	}
	o := open{stop: make(chan struct{}), from: from}
	s.open[device] = append(s.open[device], o)
	s.addresses.Add(from)
	s.count++
	return o.stop
}

func (s *streams) remove(device string, stop chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(device, stop)
}

// drop forgets a stream, once. The caller holds the lock.
func (s *streams) drop(device string, stop chan struct{}) {
	i := slices.IndexFunc(s.open[device], func(o open) bool { return o.stop == stop })
	if i < 0 {
		return
	}
	s.addresses.Remove(s.open[device][i].from)
	s.count--
	if s.open[device] = slices.Delete(s.open[device], i, i+1); len(s.open[device]) == 0 {
		delete(s.open, device)
	}
}

// end ends the streams of a device.
func (s *streams) end(device string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range slices.Clone(s.open[device]) {
		close(o.stop)
		s.drop(device, o.stop)
	}
}

func (s *streams) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, mine := range s.open {
		for _, o := range mine {
			close(o.stop)
		}
	}
	s.open, s.addresses, s.count = nil, nil, 0
}
