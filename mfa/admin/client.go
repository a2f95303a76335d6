package admin

import (
	"context"
	"net/netip"

	"github.com/radmatch/radmatch/mfa"
)

// Latches are the addresses of clients that have signed a request.
type Latches interface {
	// Unlatch forgets one address of a client, or for the zero Addr all, and returns
	// how many that were. op.ErrNotFound where that is none.
	Unlatch(ctx context.Context, client string, addr netip.Addr, ev mfa.Event) (int, error)
}

// Unlatch forgets that an address of a client has signed, or for the zero Addr that
// any has, and returns how many addresses that were: until they sign again, they need
// not sign.
func (a *Admin) Unlatch(ctx context.Context, by Actor, client string, addr netip.Addr) (int, error) {
	change := "every address of client " + client + " unlatched"
	if addr.IsValid() {
		change = "address " + addr.String() + " of client " + client + " unlatched"
	}
	ev, err := by.event(mfa.Name{}, change)
	if err != nil {
		return 0, err
	}
	ev.Client = client
	return a.Store.Unlatch(ctx, client, addr, ev)
}
