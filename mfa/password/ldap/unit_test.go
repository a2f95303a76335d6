package ldap

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/ldap/conn"
	"github.com/radmatch/radmatch/mfa/text"
)

func TestRefusedBind(t *testing.T) {
	text := func(data string) string {
		return "80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data " + data + ", v4563"
	}
	for _, c := range []struct {
		result conn.ResultError
		reason mfa.Reason // empty: a plain rejection; "none": no answer
		proven bool
	}{
		{conn.ResultError{Code: 49, Text: text("52e"), Policy: -1}, "", false},
		{conn.ResultError{Code: 49, Text: text("525"), Policy: -1}, "", false},
		{conn.ResultError{Code: 49, Text: text("530"), Policy: -1}, mfa.ReasonLogonHours, true},
		{conn.ResultError{Code: 49, Text: text("531"), Policy: -1}, mfa.ReasonLogonWorkstation, true},
		{conn.ResultError{Code: 49, Text: text("532"), Policy: -1}, mfa.ReasonPasswordExpired, true},
		{conn.ResultError{Code: 49, Text: text("533"), Policy: -1}, mfa.ReasonAccountDisabled, true},
		{conn.ResultError{Code: 49, Text: text("701"), Policy: -1}, mfa.ReasonAccountExpired, true},
		{conn.ResultError{Code: 49, Text: text("773"), Policy: -1}, mfa.ReasonMustChange, true},
		{conn.ResultError{Code: 49, Text: text("775"), Policy: -1}, mfa.ReasonAccountLocked, false},
		{conn.ResultError{Code: 49, Text: text("775xyz"), Policy: -1}, "", false},
		{conn.ResultError{Code: 49, Text: "metadata 533", Policy: -1}, "", false},
		{conn.ResultError{Code: 49, Policy: -1}, "", false},
		{conn.ResultError{Code: 53, Text: text("533"), Policy: -1}, "none", false}, // no verdict on a password
		{conn.ResultError{Code: 48, Policy: -1}, "", false},
		{conn.ResultError{Code: 32, Policy: -1}, "", false},
		{conn.ResultError{Code: 19, Policy: -1}, mfa.ReasonAccountLocked, false},
		{conn.ResultError{Code: 49, Policy: 0}, mfa.ReasonPasswordExpired, true},
		{conn.ResultError{Code: 49, Policy: 1}, mfa.ReasonAccountLocked, false},
		{conn.ResultError{Code: 0, Policy: 2}, mfa.ReasonMustChange, true},
		{conn.ResultError{Code: 0, Policy: 7}, "none", false}, // a success under a condition that is not known
		{conn.ResultError{Code: 10, Policy: -1}, "none", false},
		{conn.ResultError{Code: 51, Policy: -1}, "none", false},
	} {
		err := refusedBind(&c.result)
		account := (*mfa.AccountError)(nil)
		errors.As(err, &account)
		rejected := errors.Is(err, mfa.ErrRejected)
		switch {
		case err == nil:
			t.Errorf("%+v: accepted", c.result)
		case c.reason == "none" && rejected, c.reason != "none" && !rejected:
			t.Errorf("%+v: rejected %t: %v", c.result, rejected, err)
		case c.reason == "" && account != nil:
			t.Errorf("%+v: got %v, want a plain rejection", c.result, err)
		case c.reason != "" && c.reason != "none" && (account == nil || account.Reason != c.reason || account.Proven != c.proven):
			t.Errorf("%+v: got %v, want %s, proven %t", c.result, err, c.reason, c.proven)
		}
	}
}

// FuzzADCode: the text is the server's.
func FuzzADCode(f *testing.F) {
	f.Add("80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data 52e, v4563")
	f.Add("data fffffffff")
	f.Fuzz(func(t *testing.T, text string) {
		if code, ok := adCode(text); ok && !strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", code)) {
			t.Errorf("%q: got %x", text, code)
		}
		if cut := conn.CutText(text); len(cut) > 204 || strings.ContainsAny(cut, "\n\r\x00\x1b") {
			t.Errorf("%q: cut to %q", text, cut)
		}
	})
}

// FuzzLDAPLogin: no name changes what a filter asks for.
func FuzzLDAPLogin(f *testing.F) {
	for _, name := range []string{"alice", `EXAMPLE\alice`, "alice@example.org", "*", "a)(uid=*", `a\29`, "é@EXAMPLE", `\`, "@", "a\x00b", "a@b@example.org"} {
		f.Add(name)
	}
	s := &Settings{DefaultDomain: "EXAMPLE", Domains: []string{"example.org"}, AlternateLoginAttribute: "mail"}
	f.Fuzz(func(t *testing.T, name string) {
		n, err := s.parseLogin(name)
		if err != nil {
			if !errors.Is(err, mfa.ErrRejected) {
				t.Errorf("%q: got %v; want mfa.ErrRejected", name, err)
			}
			return
		}
		if n.Domain != "" && !s.Lists(n.Domain) {
			t.Errorf("%q: domain %q", name, n.Domain)
		}
		for _, ad := range []bool{false, true} {
			login := s.login(ad)
			filter := login.search(n)
			plain := login.search(text.LoginName{Full: "x", Bare: "x", Domain: n.Domain, UPN: n.UPN})
			if err := conn.CheckFilter(filter); err != nil {
				t.Errorf("%q: %s: got error %v; want none", name, filter, err)
			}
			for _, special := range []string{"(", ")", "*"} {
				if strings.Count(filter, special) != strings.Count(plain, special) {
					t.Errorf("%q: %s is not of the form %s", name, filter, plain)
				}
			}
		}
	})
}

// groupsFake is a directory of groups: the DN of a member to those of its groups.
type groupsFake struct {
	of       map[string][]string
	searches int
}

func (g *groupsFake) Search(_ context.Context, q conn.Query) ([]conn.Entry, error) {
	g.searches++
	var found []conn.Entry
	for member, groups := range g.of {
		if strings.Contains(q.Filter, "(member="+conn.Escape(member)+")") {
			for _, dn := range groups {
				found = append(found, conn.Entry{DN: dn})
			}
		}
	}
	return found, nil
}

// TestNestedGroups: cycles end, what is too deep or too much is an error.
func TestNestedGroups(t *testing.T) {
	group := func(n int) string { return fmt.Sprintf("cn=g%d,dc=x", n) }
	ladder := func(n int) map[string][]string {
		of := map[string][]string{"cn=u,dc=x": {group(0)}}
		for i := range n {
			of[group(i)] = []string{group(i + 1)}
		}
		return of
	}
	cycle := ladder(3)
	cycle[group(3)] = []string{group(1), group(3), "CN=g0,DC=x"}
	many := map[string][]string{"cn=u,dc=x": nil}
	for i := range password.MaxGroups + 1 {
		many["cn=u,dc=x"] = append(many["cn=u,dc=x"], group(i))
	}
	wide := map[string][]string{"cn=u,dc=x": nil}
	for i := range 3 * groupsAtOnce {
		wide["cn=u,dc=x"] = append(wide["cn=u,dc=x"], group(i))
	}
	wide[group(2*groupsAtOnce)] = []string{"cn=last,dc=x"}
	for name, c := range map[string]struct {
		of   map[string][]string
		want int // -1: an error
	}{
		"none": {nil, 0}, "cycle": {cycle, 4}, "deep": {ladder(maxDepth - 1), maxDepth}, "too deep": {ladder(maxDepth + 2), -1},
		"too many": {many, -1}, "wide": {wide, 3*groupsAtOnce + 1},
	} {
		g := groupFinder{mode: "search", base: "dc=x", nested: true, nests: newNesting()}
		names, err := groupNames(g.find(t.Context(), &groupsFake{of: c.of}, &conn.Entry{DN: "cn=u,dc=x"}))
		if (err != nil) != (c.want < 0) || err == nil && len(names) != c.want {
			t.Errorf("%s: %d groups, %v; want %d", name, len(names), err, c.want)
		}
	}
}

// TestNesting: which groups a group is in is asked once in nestingTime, and
// believed no longer; which groups a user is in, each time.
func TestNesting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &groupsFake{of: map[string][]string{
			"cn=u,dc=x": {"cn=a,dc=x", "cn=b,dc=x", "cn=c,dc=x"}, "cn=v,dc=x": {"cn=b,dc=x"},
			"cn=b,dc=x": {"cn=top,dc=x"},
		}}
		g := groupFinder{mode: "search", base: "dc=x", nested: true, nests: newNesting()}
		login := func(user, want string, most int) {
			t.Helper()
			f.searches = 0
			names, err := groupNames(g.find(t.Context(), f, &conn.Entry{DN: user}))
			slices.Sort(names)
			if got := strings.Join(names, " "); err != nil || got != want || f.searches > most {
				t.Errorf("%s: groups %q after %d searches, %v; want %q after %d at the most", user, got, f.searches, err, want, most)
			}
		}
		login("cn=u,dc=x", "a b c top", 3+learnings)
		login("cn=u,dc=x", "a b c top", 1)
		login("cn=v,dc=x", "b top", 1)
		time.Sleep(nestingTime - time.Millisecond)
		f.of["cn=v,dc=x"] = []string{"cn=a,dc=x"} // out of b: from now on
		login("cn=v,dc=x", "a", 1)
		f.of["cn=b,dc=x"] = nil // out of top: a while later
		login("cn=u,dc=x", "a b c top", 1)
		time.Sleep(time.Millisecond)
		login("cn=u,dc=x", "a b c", 2)
		f.of["cn=a,dc=x"] = []string{"cn=new,dc=x"}
		time.Sleep(nestingTime)
		login("cn=v,dc=x", "a new", 3)
	})
}

// TestNestingIsBounded: a login makes few searches for the next ones, which know
// more with each, and what is remembered has a bound.
func TestNestingIsBounded(t *testing.T) {
	f := &groupsFake{of: map[string][]string{}}
	for i := range 40 {
		dn := fmt.Sprintf("cn=g%d,dc=x", i)
		f.of["cn=u,dc=x"] = append(f.of["cn=u,dc=x"], dn)
		if i%3 == 0 {
			f.of[dn] = []string{"cn=top,dc=x"}
		}
	}
	f.of["cn=v,dc=x"] = []string{"cn=g38,dc=x"} // which is in nothing
	g := groupFinder{mode: "search", base: "dc=x", nested: true, nests: newNesting()}
	logins := 0
	for f.searches = 0; f.searches != 1; logins++ {
		f.searches = 0
		names, err := groupNames(g.find(t.Context(), f, &conn.Entry{DN: "cn=u,dc=x"}))
		if err != nil || len(names) != 41 || f.searches > 3+learnings || logins > 40/learnings+1 {
			t.Fatalf("login %d: %d groups after %d searches, %v", logins, len(names), f.searches, err)
		}
		searches := f.searches
		names, err = groupNames(g.find(t.Context(), f, &conn.Entry{DN: "cn=v,dc=x"}))
		if f.searches = searches; err != nil || !slices.Equal(names, []string{"g38"}) {
			t.Fatalf("login %d: someone else has the groups %q: got %v; want no error, only \"g38\"", logins, names, err)
		}
	}
	n := newNesting()
	for i := range maxNesting {
		n.learn([]string{fmt.Sprint(i)}, []group{{"a", "a"}, {"b", "b"}}, time.Now())
		n.learn([]string{"again"}, []group{{"a", "a"}}, time.Now())
	}
	held := 0
	for _, dn := range append([]string{"again"}, numbers(maxNesting)...) {
		if groups, ok := n.above.Get(dn, time.Now()); ok {
			held += 1 + len(groups)
		}
	}
	if held > maxNesting || held != n.above.Size() {
		t.Errorf("%d are remembered, %d counted; want %d at the most", held, n.above.Size(), maxNesting)
	}
}

// numbers are the texts of 0 to n-1.
func numbers(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprint(i)
	}
	return texts
}

// TestMemberOf: a group elsewhere, or one whose DN only looks as if it were below.
func TestMemberOf(t *testing.T) {
	g := groupFinder{mode: "member_of", base: "ou=groups, DC=x", nests: newNesting()}
	user := &conn.Entry{DN: "cn=u,dc=x", Attributes: map[string][]string{"memberof": {
		"cn=in,ou=groups,dc=x", "cn=deep,ou=more,OU=Groups,dc=x", "cn=out,ou=users,dc=x", `cn=trick\,ou=groups,dc=x`, "cn=other,ou=groups,dc=y", "not a DN",
	}}}
	names, err := groupNames(g.find(t.Context(), &groupsFake{}, user))
	if want := []string{"in", "deep"}; err != nil || !reflect.DeepEqual(names, want) {
		t.Errorf("got %q, %v; want %q", names, err, want)
	}
}

// tokenFake answers as AD does.
type tokenFake struct {
	tokens   []string
	names    map[string]string // of SIDs
	resolved int               // SIDs that were asked for
}

func (f *tokenFake) Search(_ context.Context, q conn.Query) ([]conn.Entry, error) {
	if q.Alone {
		return []conn.Entry{{DN: q.Base, Attributes: map[string][]string{"tokengroups": f.tokens}}}, nil
	}
	var found []conn.Entry
	for sid, name := range f.names {
		if strings.Contains(q.Filter, "(objectSid="+escapeOctets(sid)+")") {
			f.resolved++
			found = append(found, conn.Entry{Attributes: map[string][]string{"objectsid": {sid}, "samaccountname": {name}}})
		}
	}
	return found, nil
}

// TestTokenGroups: SIDs that are no group here are left out; names are asked for once.
func TestTokenGroups(t *testing.T) {
	f := &tokenFake{names: map[string]string{}}
	for i := range 120 {
		sid := fmt.Sprintf("\x01\x05\x00)(*%c", rune(i+1))
		f.tokens = append(f.tokens, sid)
		if i%2 == 0 {
			f.names[sid] = fmt.Sprint("group", i)
		}
	}
	g := groupFinder{mode: "token_groups", base: "dc=x", sids: newSIDNames()}
	synctest.Test(t, func(t *testing.T) {
		for _, want := range []int{60, 60, 120} {
			names, err := groupNames(g.find(t.Context(), f, &conn.Entry{DN: "cn=u,dc=x"}))
			if err != nil || len(names) != 60 || !slices.Contains(names, "group118") {
				t.Fatalf("got %d groups, %v", len(names), err)
			}
			if f.resolved != want {
				t.Errorf("%d SIDs were asked for, want %d", f.resolved, want)
			}
			if want == 60 && f.resolved == 60 {
				time.Sleep(sidTime/2 + time.Second)
			}
		}
	})
}

// TestRecent: who asks while the same check runs gets its result, and a wrong
// password stays wrong for a while; a right one is asked for each time.
func TestRecent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecent()
		runs := 0
		try := func(name, password string, result error) error {
			_, err := r.check(t.Context(), attemptBy{typed: name}, password, func() (mfa.Identity, error) {
				runs++
				time.Sleep(time.Second)
				return mfa.Identity{Name: mfa.NameOf(name)}, result
			})
			return err
		}
		wrong := fmt.Errorf("no: %w", mfa.ErrRejected)
		proven := &mfa.AccountError{Reason: mfa.ReasonPasswordExpired, Proven: true, Err: wrong}
		for _, c := range []struct {
			name, password string
			wait           time.Duration
			result         error
			runs           int
		}{
			{"alice", "right", 0, nil, 1},
			{"alice", "right", 0, nil, 2},
			{"alice", "wrong", 0, wrong, 3},
			{"alice", "wrong", 5 * time.Second, wrong, 3},
			{"alice", "wronger", 0, wrong, 4},
			{"bob", "wrong", 0, wrong, 5},
			{"alice", "wrong", refusalTime, wrong, 6},
			{"carol", "old", 0, proven, 7},
			{"carol", "old", 0, proven, 8},
			{"dave", "x", 0, conn.ErrNoServer, 9},
			{"dave", "x", 0, conn.ErrNoServer, 10},
		} {
			time.Sleep(c.wait)
			if err := try(c.name, c.password, c.result); !errors.Is(err, c.result) || runs != c.runs {
				t.Errorf("%s, %s: %v after %d runs, want %v after %d", c.name, c.password, err, runs, c.result, c.runs)
			}
		}
		runs = 0
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := try("erin", "right", nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if runs != 1 {
			t.Errorf("50 at once were %d checks; want 1", runs)
		}
		for i := range maxRefusals + 10 {
			r.refused.Put(r.attempt(attemptBy{dn: "x"}, fmt.Sprint(i)), wrong, time.Now().Add(time.Hour))
		}
		try("y", "z", wrong)
		if n := r.refused.Size(); n > maxRefusals {
			t.Errorf("%d wrong passwords are remembered; want at most %d", n, maxRefusals)
		}
	})
}

// TestRecentGivesUp: who has no time left leaves the check to the others.
func TestRecentGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecent()
		hurried, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := r.check(hurried, attemptBy{dn: "uid=alice"}, "right", func() (mfa.Identity, error) {
				<-hurried.Done()
				return mfa.Identity{}, hurried.Err()
			})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
		synctest.Wait()
		id, err := r.check(t.Context(), attemptBy{dn: "uid=alice"}, "right", func() (mfa.Identity, error) { return mfa.Identity{Name: mfa.NameOf("alice")}, nil })
		if err != nil || id.Name.String() != "alice" {
			t.Errorf("got %v, %v", id, err)
		}
		wg.Wait()
	})
}

// TestResponseName: winbind is asked with the octets that the client sent, without DOMAIN\.
func TestResponseName(t *testing.T) {
	for _, sent := range []string{"J\xfcrgen", "CORP\\J\xfcrgen"} {
		bare := strings.TrimPrefix(sent, `CORP\`)
		if name := responseName(mfa.NameOf("Jürgen"), mfa.MSCHAPv2{Octets: sent}); name != bare {
			t.Errorf("%q: winbind is asked with: got %q; want %q", sent, name, bare)
		}
	}
}

// TestLDAPSettings: what does not fit together is told with its key.
func TestLDAPSettings(t *testing.T) {
	for want, change := range map[string]func(*Settings){
		"":                          func(*Settings) {},
		"url":                       func(s *Settings) { s.URL = "" },
		"urls":                      func(s *Settings) { s.URLs = []string{"ldaps://b"} },
		"urls[1]":                   func(s *Settings) { s.URL, s.URLs = "", []string{"ldaps://a:636", "https://b"} },
		"insecure_plaintext":        func(s *Settings) { s.InsecurePlaintext = true },
		"bind_password_file":        func(s *Settings) { s.BindPasswordFile = "file" },
		"bind_dn":                   func(s *Settings) { s.BindDN = "" },
		"bind_password":             func(s *Settings) { s.BindPassword = "" },
		"base_dn":                   func(s *Settings) { s.BaseDN = "example.org" },
		"group_base_dn":             func(s *Settings) { s.GroupBaseDN = "groups" },
		"filter":                    func(s *Settings) { s.Filter = "objectClass=person" },
		"login_attribute":           func(s *Settings) { s.LoginAttribute = "uid)(x" },
		"alternate_login_attribute": func(s *Settings) { s.AlternateLoginAttribute = "ma il" },
		"domains[0]":                func(s *Settings) { s.Domains = []string{"@example.org"} },
		"default_domain":            func(s *Settings) { s.DefaultDomain = `EXAMPLE\` },
		"canonical_domain":          func(s *Settings) { s.CanonicalDomain = "a b" },
		"reply[0].from":             func(s *Settings) { s.Reply = []Reply{{"Filter-Id", "a=b"}} },
	} {
		s := Settings{URL: "ldaps://dc1.example.org", BaseDN: "dc=example,dc=org", BindDN: "cn=x", BindPassword: "secret word"}
		change(&s)
		var got []string
		s.CheckSettings(func(key, rule, value string) {
			got = append(got, key)
			if strings.Contains(rule+value, "secret word") {
				t.Errorf("%s tells the password; want no \"secret word\" in it", key)
			}
		})
		if strings.Join(got, " ") != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, u := range []string{"ldaps://", "ldaps://a/", "ldaps://a?x", "ldap://u:p@a", "a", "ldapi://x", "ldaps://a:b"} {
		bad := false
		(&Settings{}).checkURL("url", u, func(string, string, string) { bad = true })
		if !bad {
			t.Errorf("%q passes", u)
		}
	}
}

// groupNames are the names of groups that find returned.
func groupNames(groups []group, err error) (names []string, _ error) {
	for _, g := range groups {
		names = append(names, g.name)
	}
	return names, err
}

func TestNTLMSettings(t *testing.T) {
	for _, c := range []struct {
		name, path, flavor, want string
	}{
		{"none", "", "openldap", ""},
		{"AD", "/usr/bin/ntlm_auth", "auto", ""},
		{"from the path", "ntlm_auth", "ad", "ntlm_auth: must be the whole path"},
		{"OpenLDAP", "/usr/bin/ntlm_auth", "openldap", "ntlm_auth: must not stand beside flavor"},
	} {
		s := Settings{URL: "ldaps://dc1.example.org", BaseDN: "dc=example,dc=org", Flavor: c.flavor, NTLMAuth: c.path}
		got := ""
		s.CheckSettings(func(key, rule, _ string) { got += key + ": " + rule })
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
