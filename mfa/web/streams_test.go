package web

import (
	"net/netip"
	"testing"
)

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, t := range texts {
		list = append(list, netip.MustParsePrefix(t))
	}
	return list
}

func TestAddressStreams(t *testing.T) {
	var s streams
	a, b := prefixes("198.51.100.7/32"), prefixes("198.51.100.8/32")
	const limit, perAddress = 100, 2
	first := s.add("d1", a, limit, perAddress)
	if first == nil || s.add("d2", a, limit, perAddress) == nil {
		t.Fatal("got a stream refused below the limit; want it added")
	}
	if s.add("d3", a, limit, perAddress) != nil {
		t.Error("got a third stream of one address; want it refused")
	}
	if s.add("d3", b, limit, perAddress) == nil {
		t.Error("got a stream of another address refused; want it added")
	}
	for i := range 10 { // this machine, or a proxy: no limit of its own
		if s.add(string(rune('a'+i)), nil, limit, perAddress) == nil {
			t.Fatal("got a stream behind a proxy refused; want no limit by address")
		}
	}
	s.remove("d1", first)
	s.remove("d1", first)
	if s.add("d4", a, limit, perAddress) == nil {
		t.Error("got a stream refused after another has ended; want it added")
	}
	s.end("d2")
	s.end("d2")
	if s.add("d5", a, limit, perAddress) == nil || s.add("d6", a, limit, perAddress) != nil {
		t.Error("a device that was ended counts wrongly")
	}
	s.close()
	if len(s.open) != 0 || len(s.addresses) != 0 || s.add("d7", b, limit, perAddress) != nil {
		t.Error("got streams after close, or room for a new one; want none")
	}
}
