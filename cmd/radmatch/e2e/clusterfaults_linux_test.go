package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/radius/wire"
)

// clusterFaults are the faults of a cluster, one after the other.
type clusterFaults struct {
	t              *testing.T
	c              *cluster
	l              *clusterLoad
	pg             []*postgrestest.Server // the first one that lives is the primary
	disk           string                 // of the first one
	database, keys string
	users          []string // for logins beside the load
}

// postgresOn starts the first server of the database, on a disk of its own that can be filled.
func postgresOn(t *testing.T, disk string) *postgrestest.Server {
	t.Helper()
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := mountTmpfs(disk, "mode=0755,size=256m"); err != nil {
		t.Fatal(err)
	}
	before := os.TempDir()
	os.Setenv("TMPDIR", disk)
	defer os.Setenv("TMPDIR", before)
	return postgrestest.Start(t, "wal_keep_size = '32MB'", "max_wal_size = '64MB'", "min_wal_size = '32MB'", "synchronous_standby_names = ''")
}

func newClusterFaults(t *testing.T) *clusterFaults {
	f := &clusterFaults{t: t, disk: "/mnt/disk", keys: filepath.Join(t.TempDir(), "seal.key")}
	f.pg = []*postgrestest.Server{postgresOn(t, f.disk)}
	f.database = f.pg[0].NewDatabase(t)
	f.c = newCluster(t, clusterSite(f.database, f.keys, "sync"), "vpn-a", "vpn-b")
	f.lead(0)
	f.standby()
	return f
}

// lead has all nodes find a server of the database.
func (f *clusterFaults) lead(i int) {
	for _, n := range f.c.nodes {
		n.ways[i].lead(f.pg[i])
	}
}

// primary is the server that was promoted last.
func (f *clusterFaults) primary() *postgrestest.Server { return f.pg[len(f.pg)-2] }

// next is its standby.
func (f *clusterFaults) next() *postgrestest.Server { return f.pg[len(f.pg)-1] }

// standby makes a synchronous standby of the last server, which is the primary, as Patroni does.
func (f *clusterFaults) standby() {
	f.t.Helper()
	name := fmt.Sprint("standby", len(f.pg))
	last := f.pg[len(f.pg)-1]
	f.pg = append(f.pg, last.Standby(f.t, name))
	last.Set(f.t, fmt.Sprintf("synchronous_standby_names = '%s'", name))
	f.lead(len(f.pg) - 1)
}

// clusterFault is one fault: begin makes it, shows waits for what it does, and mend undoes it.
type clusterFault struct {
	name               string
	mayLose            bool // logins that are on their way: docs/cluster.md names them
	begin, shows, mend func()
}

// some logins are accepted before a fault, meanwhile, and after it.
const some = 12

func (f *clusterFaults) run(t *testing.T, load, users []string) {
	f.t, f.users = t, users
	for _, n := range f.c.nodes {
		n.awaitReady()
	}
	var all []*loadUser
	for _, name := range load {
		all = append(all, &loadUser{name: name})
	}
	f.l = f.c.load(t, all)
	f.l.await(t, some)
	soak, err := time.ParseDuration(os.Getenv("RADMATCH_SOAK"))
	if err != nil && os.Getenv("RADMATCH_SOAK") != "" {
		t.Fatal(err)
	}
	for end := time.Now().Add(soak); ; {
		for _, fault := range f.ofNodes() {
			f.show(fault)
		}
		for _, fault := range f.ofTheDatabase() {
			f.show(fault)
		}
		if !time.Now().Before(end) {
			break
		}
	}
	for _, fault := range f.failovers() {
		f.show(fault)
	}
	f.check()
	f.asynchronous()
}

// show has a fault come under load and go.
func (f *clusterFaults) show(fault clusterFault) {
	over := f.l.fault(fault.name, fault.mayLose)
	fault.begin()
	fault.shows()
	fault.mend()
	for _, n := range f.c.nodes {
		n.awaitReady()
	}
	f.l.await(f.t, some)
	over()
}

// ofNodes are those that leave the other node as it is: logins go on there.
func (f *clusterFaults) ofNodes() []clusterFault {
	a, b := f.c.nodes[0], f.c.nodes[1]
	goOn := func() { f.l.await(f.t, 2*some) }
	var near func()
	return []clusterFault{
		// A challenge that was given in the last milliseconds, and who had both from this node.
		{"node killed", true, a.kill, goOn, a.start},
		{"node stopped", true, func() { b.signal(syscall.SIGSTOP) }, goOn, func() { b.signal(syscall.SIGCONT) }},
		{"node without its NAS", true, func() { a.unplug(a.nas) }, goOn, func() { a.plug(a.nas) }},
		{"node without the database", true, func() { b.unplug(b.db) }, func() { b.awaitNotReady(); goOn() }, func() { b.plug(b.db) }},
		{"database far from a node: 50 ms, 5 % lost", false, func() { near = a.distant(50*time.Millisecond, 5) }, goOn, func() { near() }},
	}
}

// ofTheDatabase are those in which no login can be accepted until they are over.
func (f *clusterFaults) ofTheDatabase() []clusterFault {
	pg := f.primary()
	var empty func()
	return []clusterFault{
		{"database stopped", true, pg.Freeze, f.nobody, pg.Thaw},
		{"database killed, started again", true, pg.Kill, func() {}, func() { pg.Begin(f.t) }},
		{"sessions of the database ended", true, func() {}, f.endSessions, func() {}},
		{"synchronous standby gone", true, f.next().Freeze, f.nobody, f.next().Thaw},
		{"disk of the database full", true, func() { empty = f.fill() }, func() {
			for _, n := range f.c.nodes { // a row that still fits into a page is taken
				n.awaitNotReady()
			}
		}, func() { empty(); f.startAgain(pg) }},
	}
}

// nobody shows that no right code is accepted and a wrong password is rejected at once, and waits
// until no node is ready.
func (f *clusterFaults) nobody() {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() {
		n := f.c.nas(f.t)
		n.every, n.turns = 3*time.Second, 1
		q := signIn(f.users[0], "")
		q.Cred = mfa.Password("wrong horse")
		begun := time.Now()
		a, _, err := n.ask(q)
		if took := time.Since(begun); err != nil || a.Code != wire.AccessReject || took > 2500*time.Millisecond {
			f.t.Errorf("a wrong password: got %s, %v, after %s; want a rejection within 2.5s", a.Code, err, took)
		}
	})
	work.Go(func() {
		n := f.c.nas(f.t)
		n.turns = 2
		u := <-f.l.users
		u.next = max(u.next, time.Now().Unix()/30) + 1
		if ok, _ := n.login(u.name, passcode(tokenKey(u.name), u.next-1)); ok {
			f.t.Errorf("%s was accepted without the database; want nobody", u.name)
		}
		f.l.users <- u
	})
	for _, node := range f.c.nodes {
		node.awaitNotReady()
	}
}

// endSessions cancels what the nodes have the database do, and ends their sessions, again and
// again.
func (f *clusterFaults) endSessions() {
	const of = ` FROM pg_stat_activity WHERE application_name = 'radmatch'`
	var ended int64
	for i := range 10 {
		does := "SELECT count(pg_cancel_backend(pid))"
		if i%2 == 1 {
			does = "SELECT count(pg_terminate_backend(pid))"
		}
		ended += f.primary().Count(f.t, "postgres", does+of)
		f.l.await(f.t, 2)
	}
	if ended == 0 {
		f.t.Error("got no session ended; the test shows nothing")
	}
}

// fill leaves no room on the disk of the database.
func (f *clusterFaults) fill() (empty func()) {
	name := filepath.Join(f.disk, "fill")
	file, err := os.Create(name)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	if _, err := io.Copy(file, zeros{}); !errors.Is(err, syscall.ENOSPC) {
		f.t.Fatalf("the disk does not fill: got %v; want syscall.ENOSPC", err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			f.t.Fatal(err)
		}
	}
}

// startAgain starts a server of the database that has ended by itself: without room for its
// log it does.
func (f *clusterFaults) startAgain(pg *postgrestest.Server) {
	if pg.Ended() {
		f.t.Log("PostgreSQL has ended on the full disk, and is started again")
		pg.Begin(f.t)
	}
}

// failovers are to a synchronous standby: nothing that was acknowledged is lost.
func (f *clusterFaults) failovers() []clusterFault {
	old := f.c.nodes[0]
	promote := func() {
		f.next().Promote(f.t)
		f.standby()
	}
	return []clusterFault{
		{"failover, synchronous", true, func() { f.primary().Kill() }, promote, func() {}},
		{"failover, the old primary alive for one node", true, func() {
			f.c.nodes[1].ways[len(f.pg)-2].lead(nil)
			promote()
		}, func() {
			old.awaitNotReady()
			f.l.await(f.t, 2*some) // by the other
		}, func() { f.pg[len(f.pg)-3].Kill() }},
	}
}

// check ends the load, and compares what the clients were told with the trail.
func (f *clusterFaults) check() {
	f.l.end()
	fig := f.l.figures(f.c.nodes[0])
	f.t.Log("\n" + f.l.report(fig))
	if fig.without > 0 || fig.twice > 0 || fig.ended > 0 || fig.lost > 0 || fig.accepts == 0 {
		f.t.Error("got another trail than the clients were told; want each Accept with its event, each code once, each login with one end, and none lost outside of the faults")
	}
}

// asynchronous promotes a standby that is late: the loss is seen and said, and no code is accepted
// again.
func (f *clusterFaults) asynchronous() {
	primary, late := f.primary(), f.next()
	for _, n := range f.c.nodes {
		n.stop()
		n.configure(clusterSite(f.database, f.keys, "async")(n))
	}
	way := newDetour(f.t, "127.0.0.1")
	way.lead(primary)
	way.delay.Store(int64(300 * time.Millisecond))
	primary.Set(f.t, "synchronous_standby_names = ''")
	late.Set(f.t, fmt.Sprintf("primary_conninfo = 'host=127.0.0.1 port=%s user=radmatch'", strings.TrimPrefix(way.listener.Addr().String(), "127.0.0.1:")))
	for _, n := range f.c.nodes {
		n.start()
		n.awaitReady()
	}
	f.c.nodes[0].until("standby follows", func() bool {
		return primary.Count(f.t, "postgres", "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == 1
	})
	l := f.c.load(f.t, f.loadUsers())
	l.await(f.t, 4*some)
	over := l.fault("failover, asynchronous", true)
	primary.Kill()
	late.Promote(f.t)
	for _, n := range f.c.nodes {
		n.awaitReady()
	}
	l.end()
	over()
	attacker := f.c.nas(f.t)
	for i, v := range l.newest(20) {
		attacker.first = i % 2
		l.replay(f.t, attacker, &v)
	}
	fig := l.figures(f.c.nodes[0])
	f.t.Log("\n" + l.report(fig))
	if fig.without == 0 {
		f.t.Error("got no lost event; the test shows nothing")
	}
	if fig.twice > 0 || fig.ended > 0 {
		f.t.Error("got a code that served two logins, or a login with two ends; want none")
	}
	for _, n := range f.c.nodes {
		n.await("server.log", `commits that the database had confirmed are gone.*"commits":[1-9]`)
	}
	// Passes from now on are accepted.
	pass := strings.Fields(f.c.nodes[0].cli("tap", "issue", f.users[0], "--once"))[0]
	if ok, err := attacker.login(f.users[0], pass); !ok {
		f.t.Errorf("a new pass after the failover: got no Accept, %v; want one", err)
	}
}

// loadUsers are those of the load, which has ended.
func (f *clusterFaults) loadUsers() (users []*loadUser) {
	close(f.l.users)
	for u := range f.l.users {
		users = append(users, u)
	}
	return users
}
