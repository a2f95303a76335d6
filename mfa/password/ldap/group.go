package ldap

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa/bound"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/ldap/conn"
)

// Bounds on groups. Beyond them a login gets no answer: a group that is left out
// could be one that must be known.
const (
	maxDepth       = 16 // groups in groups
	groupsAtOnce   = 50 // in one filter
	maxSIDs        = 5000
	sidTime        = 5 * time.Minute // how long the name of a SID is believed
	maxKnownSIDs   = 20000
	attributeGroup = "memberOf"
)

// errNoTokenGroups: without its groups a user could get in where one of them must not.
var errNoTokenGroups = errors.New("tokenGroups: none is shown: bind_dn must be in the group Windows Authorization Access Group")

var errGroups = fmt.Errorf("the user is in more than %d groups", password.MaxGroups)

// groupFinder finds the groups of a user.
type groupFinder struct {
	mode   string // none, token_groups, member_of or search
	base   string
	nested bool
	sids   *sidNames
	nests  *nesting
}

// groupSearcher is a connection that can search.
type groupSearcher interface {
	Search(ctx context.Context, q conn.Query) ([]conn.Entry, error)
}

// find returns the user's groups, each once.
func (g *groupFinder) find(ctx context.Context, c groupSearcher, user *conn.Entry) ([]group, error) {
	switch g.mode {
	case "token_groups":
		return g.tokenGroups(ctx, c, user)
	case "member_of":
		return g.searched(ctx, c, user.Values(attributeGroup), nil)
	case "search":
		direct := []string{memberFilter(user.DN)}
		for _, uid := range user.Values("uid") {
			direct = append(direct, "(memberUid="+conn.Escape(uid)+")")
		}
		return g.searched(ctx, c, nil, direct)
	}
	return nil, nil
}

func memberFilter(dn string) string {
	dn = conn.Escape(dn)
	return "(member=" + dn + ")(uniqueMember=" + dn + ")"
}

// searched goes from group to group: from the DNs of the first ones, or from the
// filters that find them. A group that was seen is not looked at again, so that
// a cycle ends.
func (g *groupFinder) searched(ctx context.Context, c groupSearcher, dns, filters []string) ([]group, error) {
	level, err := g.named(ctx, c, dns)
	if err != nil {
		return nil, err
	}
	found, err := g.search(ctx, c, "", filters, "cn")
	if err != nil {
		return nil, err
	}
	level = append(level, groupsIn(found)...)
	seen := map[string]bool{}
	var groups []group
	for depth := 0; ; depth++ {
		var fresh []string
		for _, e := range level {
			if key := strings.ToLower(e.dn); !seen[key] {
				seen[key] = true
				groups, fresh = append(groups, e), append(fresh, e.dn)
			}
		}
		switch {
		case len(groups) > password.MaxGroups:
			return nil, errGroups
		case len(fresh) == 0 || !g.nested:
			return groups, nil
		case depth == maxDepth:
			return nil, fmt.Errorf("groups are nested deeper than %d", maxDepth)
		}
		if level, err = g.above(ctx, c, fresh); err != nil {
			return nil, err
		}
	}
}

// named are the groups that DNs name.
func (g *groupFinder) named(ctx context.Context, c groupSearcher, dns []string) ([]group, error) {
	var named []group
	for _, dn := range dns {
		if !conn.IsBelow(dn, g.base) { // memberOf names groups anywhere; searches find none elsewhere
			continue
		}
		name, err := g.nameOfDN(ctx, c, dn)
		if err != nil {
			return nil, err
		}
		if name != "" {
			named = append(named, group{dn, name})
		}
	}
	return named, nil
}

// Search finds the groups that match one of filters. Whatever has members is a
// group where class is empty: OpenLDAP is slow to look at classes too.
func (g *groupFinder) search(ctx context.Context, c groupSearcher, class string, filters []string, attributes ...string) ([]conn.Entry, error) {
	var found []conn.Entry
	for len(filters) > 0 {
		n := min(len(filters), groupsAtOnce)
		filter := "(|" + strings.Join(filters[:n], "") + ")"
		if class != "" {
			filter = "(&" + class + filter + ")"
		}
		some, err := c.Search(ctx, conn.Query{Base: g.base, Filter: filter, Attributes: attributes, Most: password.MaxGroups})
		if err != nil {
			return nil, fmt.Errorf("groups: %w", err)
		}
		found, filters = append(found, some...), filters[n:]
	}
	return found, nil
}

// nameOfDN is the cn of a group: from its DN, or where that has none from its
// entry. It is empty where the service account may not see it.
func (g *groupFinder) nameOfDN(ctx context.Context, c groupSearcher, dn string) (string, error) {
	if attribute, value := conn.FirstRDN(dn); attribute == "cn" {
		return value, nil
	}
	found, err := c.Search(ctx, conn.Query{Base: dn, Alone: true, Filter: "(objectClass=*)", Attributes: []string{"cn"}, Most: 1})
	if result := (*conn.ResultError)(nil); errors.As(err, &result) && result.Code == conn.CodeNoSuchObject {
		return "", nil
	}
	if err != nil || len(found) == 0 {
		return "", err
	}
	return groupName(&found[0]), nil
}

// group is one of a directory.
type group struct{ dn, name string }

// groupsIn are the groups among entries: those without a cn are none.
func groupsIn(entries []conn.Entry) []group {
	var groups []group
	for i := range entries {
		if name := groupName(&entries[i]); name != "" {
			groups = append(groups, group{entries[i].DN, name})
		}
	}
	return groups
}

// groupName is the cn of a group: the one in its DN, or its first.
func groupName(e *conn.Entry) string {
	if attribute, value := conn.FirstRDN(e.DN); attribute == "cn" {
		return value
	}
	if cn := e.Values("cn"); len(cn) > 0 {
		return cn[0]
	}
	return ""
}

// tokenGroups asks AD, which resolves nesting and the primary group by itself
// (MS-ADTS §3.1.1.4.5.19). The attribute is only there in a search of the entry itself.
func (g *groupFinder) tokenGroups(ctx context.Context, c groupSearcher, user *conn.Entry) ([]group, error) {
	found, err := c.Search(ctx, conn.Query{Base: user.DN, Alone: true, Filter: "(objectClass=*)", Attributes: []string{"tokenGroups"}, Most: 1})
	if err != nil || len(found) != 1 {
		return nil, errors.Join(errors.New("tokenGroups"), err)
	}
	sids := found[0].Values("tokenGroups")
	switch {
	case len(sids) == 0: // not even the primary group
		return nil, errNoTokenGroups
	case len(sids) > maxSIDs:
		return nil, errGroups
	}
	groups, unknown := g.sids.groups(sids, time.Now())
	var filters []string
	for _, sid := range unknown {
		filters = append(filters, "(objectSid="+escapeOctets(sid)+")")
	}
	entries, err := g.search(ctx, c, "(objectClass=group)", filters, "objectSid", "sAMAccountName")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if sid, name := e.Values("objectSid"), e.Values("sAMAccountName"); len(sid) == 1 && len(name) == 1 {
			known := group{e.DN, name[0]}
			g.sids.learn(sid[0], known, time.Now())
			groups = append(groups, known)
		}
	}
	if len(groups) > password.MaxGroups {
		return nil, errGroups
	}
	return groups, nil
}

// escapeOctets makes every octet of a binary value its hexadecimal form.
func escapeOctets(value string) string {
	var b strings.Builder
	for i := range len(value) {
		fmt.Fprintf(&b, `\%02x`, value[i])
	}
	return b.String()
}

// sidNames remembers which groups SIDs are: a SID is never given to another
// group, so that at worst a group is known by the name or the place that it had
// before. Its methods may be called concurrently.
type sidNames struct {
	mu    sync.Mutex
	known *bound.Cache[string, group]
}

func newSIDNames() *sidNames {
	return &sidNames{known: bound.NewCache[string, group](maxKnownSIDs, sidTime)}
}

// groups returns the known ones, and the SIDs of the others.
func (s *sidNames) groups(sids []string, now time.Time) (groups []group, unknown []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sid := range sids {
		if known, ok := s.known.Get(sid, now); ok {
			groups = append(groups, known)
		} else {
			unknown = append(unknown, sid)
		}
	}
	return groups, unknown
}

func (s *sidNames) learn(sid string, g group, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.Put(sid, g, now)
}
