package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
)

// buildLater builds a later version of the program: it calls itself v9.9.9, and knows two more
// steps of the schema, of which the second removes what this version may look at.
func buildLater(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	const source = "cmd/radmatch/providers/store.go"
	text, err := os.ReadFile(filepath.Join(root, source))
	if err != nil {
		t.Fatal(err)
	}
	named := strings.Replace(string(text), "return info.Main.Version", `return "v9.9.9"`, 1)
	named = strings.Replace(named, `return "(devel)"`, `return "v9.9.9"`, 1)
	if strings.Count(named, "v9.9.9") != 2 {
		t.Fatalf("%s does not say its version where it did", source)
	}
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, text := range map[string]string{
		source: named,
		"mfa/store/postgres/migrations/0002_adds.sql":    "ALTER TABLE tokens ADD COLUMN colour text NOT NULL DEFAULT '';\n",
		"mfa/store/postgres/migrations/0003_removes.sql": "-- serves: 2\nDROP INDEX accounting_interim;\n",
	} {
		file := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(root, name)] = file
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), list, 0o600); err != nil {
		t.Fatal(err)
	}
	return buildProgram(t, "-overlay", filepath.Join(dir, "overlay.json"))
}

// upgradeLoad is logins at two nodes, each first at the other one than the last.
type upgradeLoad struct {
	accepted atomic.Int64
	stop     chan struct{}
	work     sync.WaitGroup
}

func (l *upgradeLoad) start(t *testing.T, users []string, nodes ...*serverProcess) {
	l.stop = make(chan struct{})
	queue := make(chan string)
	l.work.Go(func() {
		defer close(queue)
		for _, user := range users {
			select {
			case <-l.stop:
				return
			case <-time.After(50 * time.Millisecond): // an offered rate
				queue <- user
			}
		}
	})
	for i := range 6 {
		n := &nasList{first: i % len(nodes), every: 500 * time.Millisecond, tries: 3, turns: 4}
		for _, p := range nodes {
			n.nodes = append(n.nodes, dialNAS(t, "127.0.0.1", p.radius[0], testSecret))
		}
		l.work.Go(func() {
			for user := range queue {
				if ok, err := n.login(user, totp(user, 0)); err != nil || !ok {
					t.Errorf("%s: let in %v, %v; want every login to be accepted; events %v", user, ok, err, nodes[0].events(user))
					continue
				}
				l.accepted.Add(1)
			}
		})
	}
}

// more waits until so many more logins are accepted.
func (l *upgradeLoad) more(p *serverProcess, n int64) {
	p.t.Helper()
	want := l.accepted.Load() + n
	p.until(fmt.Sprintf("%d logins", want), func() bool { return l.accepted.Load() >= want })
}

// TestRollingUpgrade replaces the program of two nodes by a later one, which changes the
// schema, one node after the other, while users sign in at both.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	later := buildLater(t)
	pg := postgrestest.Start(t)
	database := pg.NewDatabase(t)
	keys := t.TempDir() + "/seal.key"
	var nodes []*serverProcess
	var users []string
	for i, name := range []string{"vpn-a", "vpn-b", "vpn-c"} {
		config := strings.Replace(nodeConfig(pg.URL(database), keys, name), "127.0.0.1:0", fmt.Sprintf("127.81.0.%d:18120", i+1), 1)
		p := newServer(t, config+siteClient)
		if users = p.addUsers("user", 1000); i == 0 {
			p.addTOTP(users...)
		}
		nodes = append(nodes, p)
	}
	a, b, c := nodes[0], nodes[1], nodes[2]
	schema := func(version, serves int64) {
		t.Helper()
		v, s := pg.Count(t, database, `SELECT value FROM meta WHERE key = 'schema'`), pg.Count(t, database, `SELECT serves FROM site`)
		if v != version || s != serves {
			t.Fatalf("schema version %d serves %d; want %d, %d", v, s, version, serves)
		}
	}
	a.start()
	b.start()
	old := a.nodes()["vpn-a"].Program
	var load upgradeLoad
	load.start(t, users, a, b)
	load.more(a, 20)
	a.stop()
	a.program = later
	a.start()
	schema(2, 1)
	a.await("server.log", "waits for nodes with an older program.*vpn-b")
	all := a.nodes()
	if all["vpn-a"].Program != "v9.9.9" || all["vpn-b"].Program != old || all["vpn-a"].State != "live" || all["vpn-b"].State != "live" {
		t.Errorf("nodes: got %+v; want both live, with v9.9.9 and %s", all, old)
	}
	load.more(a, 20)
	b.stop()
	b.program = later
	b.start()
	schema(3, 2)
	load.more(b, 20)
	close(load.stop)
	load.work.Wait()

	if out, code := c.output("serve"); code == console.ExitOK || !strings.Contains(out, "this program is too old for the database") {
		t.Errorf("serve: exit %d, %s; want that it is too old", code, out)
	}
	if code, _, errs := a.run("user", "list"); code == console.ExitOK || !strings.Contains(errs, "this program is too old for the database") {
		t.Errorf("a command: exit %d, %s; want that it is too old", code, errs)
	}
	out, code := a.output("events", "--json", "--limit", "10000")
	if n := strings.Count(out, `"outcome":"accept"`); code != console.ExitOK || int64(n) != load.accepted.Load() {
		t.Errorf("%d accepted in the trail (exit %d), want %d", n, code, load.accepted.Load())
	}
	t.Logf("%d logins accepted while both nodes were replaced", load.accepted.Load())
}
