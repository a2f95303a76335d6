package ldap

import (
	"context"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa/bound"
)

const (
	// nestingTime is how long it is believed which groups a group is in. It is how
	// long a login may still have a group that another one was taken out of: which
	// groups the user is a direct member of is asked in each login.
	nestingTime = 30 * time.Second
	// maxNesting bounds the groups that are remembered, as members and as what they are in.
	maxNesting = 20000
	// learnings bounds the searches of a level that are made only for the next logins.
	learnings = 8
)

// nesting remembers which groups a group is in: they change rarely, and each
// login would ask for them again, level after level. Its methods may be called
// concurrently.
type nesting struct {
	mu    sync.Mutex
	above *bound.Cache[string, []group] // by the DN of the member
}

func newNesting() *nesting {
	return &nesting{above: bound.NewSizedCache[string](maxNesting, nestingTime, nestSize)}
}

func nestSize(above []group) int { return 1 + len(above) }

// of returns what the known ones of dns are in, and the others.
func (n *nesting) of(dns []string, now time.Time) (above []group, unknown []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, dn := range dns {
		if known, ok := n.above.Get(dn, now); ok {
			above = append(above, known...)
		} else {
			unknown = append(unknown, dn)
		}
	}
	return above, unknown
}

// learn notes what the directory was asked at a time: each of dns is in all of above.
func (n *nesting) learn(dns []string, above []group, asked time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, dn := range dns {
		n.above.Put(dn, above, asked)
	}
}

// above returns the groups that the groups of these DNs are in. One search does
// for many, but does not tell which of them is in what. Most are in nothing; where
// some are, a few are asked for again one by one, so that the next logins know.
func (g *groupFinder) above(ctx context.Context, c groupSearcher, dns []string) ([]group, error) {
	above, unknown := g.nests.of(dns, time.Now())
	for spare := learnings; len(unknown) > 0; {
		some := unknown[:min(len(unknown), groupsAtOnce)]
		unknown = unknown[len(some):]
		found, err := g.directlyAbove(ctx, c, some)
		if err != nil {
			return nil, err
		}
		above = append(above, found...)
		if len(found) == 0 || len(some) == 1 {
			continue
		}
		for _, dn := range some[:min(len(some), spare)] {
			if _, err := g.directlyAbove(ctx, c, []string{dn}); err != nil {
				return nil, err
			}
			spare--
		}
	}
	return above, nil
}

// directlyAbove is one search. It learns what holds for each of dns.
func (g *groupFinder) directlyAbove(ctx context.Context, c groupSearcher, dns []string) ([]group, error) {
	filters := make([]string, len(dns))
	for i, dn := range dns {
		filters[i] = memberFilter(dn)
	}
	asked := time.Now()
	entries, err := g.search(ctx, c, "", filters, "cn")
	if err != nil {
		return nil, err
	}
	found := groupsIn(entries)
	if len(found) == 0 || len(dns) == 1 {
		g.nests.learn(dns, found, asked)
	}
	return found, nil
}
