package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/radius/wire"
)

// nodeConfig is the configuration of a server that shares a database. It has the same users
// and clients as the others.
func nodeConfig(url, keys, name string) string {
	return fmt.Sprintf(`%sstore: {type: postgres, url: "%s", standby: none}
seal: {key_file: %s}
node: %s
`, siteHead, url, keys, name)
}

// startNodes starts servers that share a new database, and returns how it is found too.
func startNodes(t *testing.T, pg *postgrestest.Server, names ...string) (nodes []*serverProcess, url, keys string) {
	t.Helper()
	return startNodesWith(t, pg, "", names...)
}

// startNodesWith is startNodes with more in the configuration of each.
func startNodesWith(t testing.TB, pg *postgrestest.Server, more string, names ...string) (nodes []*serverProcess, url, keys string) {
	t.Helper()
	url, keys = pg.URL(pg.NewDatabase(t)), t.TempDir()+"/seal.key"
	for _, name := range names {
		p := newServer(t, nodeConfig(url, keys, name)+siteClient+more)
		p.start()
		nodes = append(nodes, p)
	}
	return nodes, url, keys
}

// listed is what `radmatch nodes` says of a live node.
type listed struct {
	State   string
	Program string
	Keys    []string
	Config  string
	Differs bool `json:"config_differs"`
}

func (p *serverProcess) nodes() map[string]listed {
	p.t.Helper()
	list := map[string]listed{}
	dec := json.NewDecoder(strings.NewReader(p.cli("nodes", "--json")))
	for dec.More() {
		var n struct {
			Name string
			listed
		}
		if err := dec.Decode(&n); err != nil {
			p.t.Fatal(err)
		}
		if _, ok := list[n.Name]; !ok { // the newest run first
			list[n.Name] = n.listed
		}
	}
	return list
}

// Two servers share a database: commands beside one hold at both, `nodes` shows both, a
// configuration that differs is marked, and a rekey waits for both to have the key.
func TestNodes(t *testing.T) {
	t.Parallel()
	nodes, url, keys := startNodes(t, postgrestest.Start(t), "vpn-a", "vpn-b")
	a, b := nodes[0], nodes[1]
	a.addTOTP("alice")
	sa, sb := a.nasSocket("127.0.0.1"), b.nasSocket("127.0.0.1")
	state := sb.expect(signIn("alice", ""), wire.AccessChallenge).State()
	sb.expect(answerTo("alice", state, totp("alice", -1)), wire.AccessAccept)
	state = sa.expect(signIn("alice", ""), wire.AccessChallenge).State()
	sa.expect(answerTo("alice", state, totp("alice", -1)), wire.AccessReject) // used at the other
	b.cli("user", "block", "alice")
	sa.expect(signIn("alice", ""), wire.AccessReject)
	a.cli("user", "unblock", "alice")

	all := a.nodes()
	if len(all) != 2 || all["vpn-a"].State != "live" || all["vpn-b"].State != "live" || all["vpn-b"].Differs || all["vpn-a"].Config != all["vpn-b"].Config {
		t.Errorf("got %+v, want two live nodes with one configuration", all)
	}
	b.write("radmatch.yaml", nodeConfig(url, keys, "vpn-b")+strings.Replace(siteClient, "500ms", "600ms", 1))
	b.cli("reload")
	if all = a.nodes(); !all["vpn-b"].Differs || all["vpn-a"].Differs {
		t.Errorf("got %+v, want that the configuration of vpn-b differs", all)
	}
	if out, _ := a.output("check", "--connect"); !strings.Contains(out, "node vpn-b: warning: runs with another configuration") {
		t.Errorf("check --connect: got %s; want a warning of vpn-b", out)
	}

	a.cli("rekey", "--prepare")
	a.cli("reload")
	if out, code := a.output("rekey"); code != console.ExitFailure || !strings.Contains(out, "do not have it yet: vpn-b") {
		t.Errorf("rekey: exit %d, %s; want that vpn-b lacks the key", code, out)
	}
	b.cli("reload")
	a.cli("rekey")
	state = sb.expect(signIn("alice", ""), wire.AccessChallenge).State()
	sb.expect(answerTo("alice", state, totp("alice", 0)), wire.AccessAccept)
	b.stop()
	if all = a.nodes(); all["vpn-b"].State != "ended" {
		t.Errorf("got %+v, want that vpn-b has ended", all)
	}
}

// While the database does not answer, a node says that it can accept nobody; it is ready again
// by itself.
func TestNodeNotReady(t *testing.T) {
	t.Parallel()
	pg := postgrestest.Start(t)
	nodes, _, _ := startNodes(t, pg, "vpn-a")
	p := nodes[0]
	p.addTOTP("alice")
	s := p.nasSocket("127.0.0.1")
	s.expect(wire.Query{Code: wire.StatusServer}, wire.AccessAccept)
	for _, fault := range []struct {
		name        string
		begin, mend func()
	}{
		{"stands still", pg.Freeze, pg.Thaw},
		{"is killed", pg.Kill, func() { pg.Begin(t) }},
	} {
		fault.begin()
		p.awaitState(http.StatusServiceUnavailable, "not ready\n")
		unheard := s.start(wire.Query{Code: wire.StatusServer})
		s.expect(signIn("alice", ""), wire.AccessChallenge) // behind what there was to answer
		if n := len(s.inbox[unheard.id]); n > 0 {
			t.Errorf("%s: got %d answers to a Status-Server, want none", fault.name, n)
		}
		fault.mend()
		p.awaitState(http.StatusOK, "ok\n")
		s.expect(wire.Query{Code: wire.StatusServer}, wire.AccessAccept)
	}
}

// A backup of the database is restored under two nodes that run: both find that it has gone
// back, one of them without a commit of its own since. They say so, and no passcode of before
// is accepted: of the token, nor the pass that was used up. A new pass is.
func TestNodesRestored(t *testing.T) {
	t.Parallel()
	pg := postgrestest.Start(t)
	nodes, url, _ := startNodes(t, pg, "vpn-a", "vpn-b")
	database := regexp.MustCompile(`test\d+`).FindString(url)
	a, b := nodes[0], nodes[1]
	a.addTOTP("alice")
	pass := strings.Fields(a.cli("tap", "issue", "bob", "--once"))[0]
	sa, sb := a.nasSocket("127.0.0.1"), b.nasSocket("127.0.0.1")
	enter := func(s *nasSocket, user, code string, want wire.Code) {
		t.Helper()
		state := s.expect(signIn(user, ""), wire.AccessChallenge).State()
		s.expect(answerTo(user, state, code), want)
	}
	backup := pg.Backup(t)
	used := totp("alice", 0)
	enter(sb, "alice", used, wire.AccessAccept)
	enter(sb, "bob", pass, wire.AccessAccept)
	beats := func() int64 { return pg.Count(t, database, `SELECT min(beats) FROM nodes WHERE run > 0`) }
	before := beats()
	a.until("both have said that they are alive", func() bool { return beats() >= before+2 })

	pg.Restore(t, backup)
	for _, p := range nodes {
		p.await("server.log", `commits that the database had confirmed are gone`)
		p.awaitState(http.StatusOK, "ok\n")
	}
	for _, s := range []*nasSocket{sa, sb} {
		enter(s, "alice", used, wire.AccessReject)
		enter(s, "alice", totp("alice", 1), wire.AccessReject)
		s.expect(signIn("bob", ""), wire.AccessReject) // the pass is void, and there is nothing to ask for
	}
	fresh := strings.Fields(a.cli("tap", "issue", "bob", "--once"))[0]
	enter(sa, "bob", fresh, wire.AccessAccept)
}
