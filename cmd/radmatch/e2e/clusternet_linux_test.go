package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/radius/wire"
)

const (
	// hubAddress is that of the clients, on the bridge between them and the nodes.
	hubAddress = "10.91.7.1"
	// databaseAddress is that of the database, on a bridge of its own: each of the two can be
	// cut off a node.
	databaseAddress = "10.92.7.1"
	// serversOfCluster is how many servers of the database the nodes have in their URL.
	serversOfCluster = 4
)

// cluster is nodes that share a PostgreSQL database, each in a network namespace of its own
// behind two bridges. The test is the network's clients.
type cluster struct {
	t     *testing.T
	nodes []*clusterNode
}

// clusterNode is one server, and its ways to the servers of the database.
type clusterNode struct {
	*serverProcess
	test    *testing.T
	address string
	nas, db string // its ends of the wires, on the bridges
	space   string
	ways    []*detour
}

// newCluster makes the namespaces and the files; nothing runs yet. It is called on a host of the
// test's own (passwordtest.InHost). config is what the configuration has beside the network.
func newCluster(t *testing.T, config func(n *clusterNode) string, names ...string) *cluster {
	t.Helper()
	c := &cluster{t: t}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", "/run/netns", "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	for bridge, address := range map[string]string{"hub": hubAddress, "database": databaseAddress} {
		runHost(t, "ip", "link", "add", bridge, "type", "bridge")
		runHost(t, "ip", "address", "add", address+"/24", "dev", bridge)
		runHost(t, "ip", "link", "set", bridge, "up")
	}
	for i, name := range names {
		n := &clusterNode{test: t, address: fmt.Sprintf("10.91.7.%d", i+2), nas: "to-" + name, db: "db-" + name, space: name}
		runHost(t, "ip", "netns", "add", name)
		runHost(t, "ip", "-n", name, "link", "set", "lo", "up")
		n.wire(n.nas, "hub", "eth0", n.address)
		n.wire(n.db, "database", "eth1", fmt.Sprintf("10.92.7.%d", i+2))
		for range serversOfCluster {
			n.ways = append(n.ways, newDetour(t, databaseAddress))
		}
		n.serverProcess = newServer(t, "")
		n.configure(config(n))
		c.nodes = append(c.nodes, n)
	}
	return c
}

// wire connects a device of the node to a bridge.
func (n *clusterNode) wire(link, bridge, device, address string) {
	runHost(n.test, "ip", "link", "add", link, "type", "veth", "peer", "name", device, "netns", n.space)
	runHost(n.test, "ip", "link", "set", link, "master", bridge, "up")
	runHost(n.test, "ip", "-n", n.space, "address", "add", address+"/24", "dev", device)
	runHost(n.test, "ip", "-n", n.space, "link", "set", device, "up")
}

// configure writes radmatch.yaml.
func (n *clusterNode) configure(config string) {
	n.write("radmatch.yaml", fmt.Sprintf(`listen: {radius: ["%s:1812"], web: "%s:8080"}
data_dir: data
node: %s
web: {insecure_http: true}
primaries: [{name: local, type: file, path: users.yaml}]
%s`, n.address, n.address, n.space, config))
}

// url finds the database by way of all its servers.
func (n *clusterNode) url(database string) string {
	var at []string
	for _, w := range n.ways {
		at = append(at, w.listener.Addr().String())
	}
	return fmt.Sprintf("postgres://radmatch@%s/%s?sslmode=disable&target_session_attrs=read-write", strings.Join(at, ","), database)
}

// start starts the node in its namespace.
func (n *clusterNode) start() { n.serverProcess.start("ip", "netns", "exec", n.space) }

// unplug takes the node off the network at one end, and plug puts it back.
func (n *clusterNode) unplug(link string) { runHost(n.test, "ip", "link", "set", link, "down") }
func (n *clusterNode) plug(link string)   { runHost(n.test, "ip", "link", "set", link, "up") }

// isReady reports whether the node says that it could accept a login.
func (n *clusterNode) isReady() bool {
	resp, err := http.Get("http://" + n.address + ":8080/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (n *clusterNode) awaitReady() {
	n.t.Helper()
	n.until("ready", n.isReady)
}

func (n *clusterNode) awaitNotReady() {
	n.t.Helper()
	n.until("not ready", func() bool { return !n.isReady() })
}

// distant makes the way of a node to the database long and bad, and returns what undoes that.
// The kernel does so where it has the module for it; otherwise what carries the connections.
func (n *clusterNode) distant(delay time.Duration, lost int) (near func()) {
	out, err := exec.CommandContext(n.test.Context(), "ip", "netns", "exec", n.space,
		"tc", "qdisc", "add", "dev", "eth1", "root", "netem", "delay", delay.String(), "loss", fmt.Sprint(lost, "%")).CombinedOutput()
	if err == nil {
		return func() { runHost(n.test, "ip", "netns", "exec", n.space, "tc", "qdisc", "del", "dev", "eth1", "root") }
	}
	n.test.Logf("netem: %v: %s; the connections are delayed instead, with a wait where a packet would be lost", err, bytes.TrimSpace(out))
	for _, w := range n.ways {
		w.delay.Store(int64(delay))
		w.lost.Store(int64(lost))
	}
	return func() {
		for _, w := range n.ways {
			w.delay.Store(0)
			w.lost.Store(0)
		}
	}
}

// detour is a way to a server of the database: connections are carried on, to where it leads
// now.
type detour struct {
	listener net.Listener
	delay    atomic.Int64 // of all that is carried
	lost     atomic.Int64 // in a hundred pieces: each comes as late as what is sent again
	mu       sync.Mutex
	to       string
	open     map[net.Conn]bool
}

// sentAgain is how long TCP waits for an acknowledgement at least.
const sentAgain = 200 * time.Millisecond

// newDetour leads nowhere yet: connections end at once.
func newDetour(t *testing.T, at string) *detour {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(at, "0"))
	if err != nil {
		t.Fatal(err)
	}
	d := &detour{listener: l, open: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); d.lead(nil) })
	go d.serve()
	return d
}

// lead makes it lead to a server, nil: nowhere. Open connections end.
func (d *detour) lead(to *postgrestest.Server) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.to = ""
	if to != nil {
		d.to = fmt.Sprintf("127.0.0.1:%d", to.Port)
	}
	for c := range d.open {
		c.Close()
	}
	clear(d.open)
}

func (d *detour) serve() {
	for {
		c, err := d.listener.Accept()
		if err != nil {
			return
		}
		go d.carry(c)
	}
}

func (d *detour) carry(c net.Conn) {
	defer c.Close()
	d.mu.Lock()
	to := d.to
	d.open[c] = true
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.open, c)
	}()
	if to == "" {
		return
	}
	s, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer s.Close()
	go func() { d.pass(s, c); s.Close() }()
	d.pass(c, s)
}

// pass copies what comes, each piece when it is due, in their order.
func (d *detour) pass(to, from net.Conn) {
	type piece struct {
		due  time.Time
		data []byte
	}
	pieces := make(chan piece, 1024)
	defer close(pieces)
	go func() {
		for p := range pieces {
			time.Sleep(time.Until(p.due)) // the way is that long
			if _, err := to.Write(p.data); err != nil {
				from.Close()
			}
		}
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		delay := time.Duration(d.delay.Load())
		if rand.Int64N(100) < d.lost.Load() {
			delay += sentAgain
		}
		pieces <- piece{time.Now().Add(delay), bytes.Clone(buf[:n])}
	}
}

// nasList is a client with the nodes in its list: it asks one some times, then the next, with a new
// packet each. It goes on with the one that has answered last. It is used by one goroutine.
type nasList struct {
	nodes []*nasSocket
	first int           // the node that is asked first
	every time.Duration // between two tries
	tries int           // at one node
	turns int           // how many nodes are asked until it gives up
	used  int           // tries of the last request
}

func (c *cluster) nas(t testing.TB) *nasList {
	t.Helper()
	n := &nasList{every: 500 * time.Millisecond, tries: 2, turns: 4 * len(c.nodes)}
	for _, node := range c.nodes {
		s := dialNAS(t, hubAddress, netip.AddrPortFrom(netip.MustParseAddr(node.address), 1812).String(), testSecret)
		n.nodes = append(n.nodes, s)
	}
	return n
}

var errNoNode = errors.New("no node answers")

// ask sends a request until it has an answer, from the node that it names.
func (n *nasList) ask(q wire.Query) (a wire.Answer, node int, err error) {
	n.used = 0
	for range n.turns {
		node = n.first
		s := n.nodes[node]
		r := s.build(q)
		for range n.tries {
			n.used++
			s.conn.Write(r.packet) // refused where nothing listens: as if it was lost
			if raw := s.within(r.id, n.every); raw != nil {
				a, err = wire.ParseAnswer(raw, r.id, &r.auth, s.secret)
				return a, node, err
			}
		}
		n.first = (n.first + 1) % len(n.nodes)
	}
	return a, node, errNoNode
}

// within returns the next datagram with this identifier, nil if none comes in time.
func (s *nasSocket) within(id byte, limit time.Duration) []byte {
	end := time.Now().Add(limit)
	for len(s.inbox[id]) == 0 {
		if time.Now().After(end) {
			return nil
		}
		s.conn.SetReadDeadline(end)
		if !s.read() && time.Now().Before(end) {
			time.Sleep(10 * time.Millisecond) // the port is closed; the next try comes at its time
		}
	}
	raw := s.inbox[id][0]
	s.inbox[id] = s.inbox[id][1:]
	return raw
}
