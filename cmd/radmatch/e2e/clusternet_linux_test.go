package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/radius/wire"
)

// hubAddress is that of clients and database, on the bridge between the nodes.
const hubAddress = "10.91.7.1"

// cluster is a PostgreSQL server and nodes that share it, each in a network namespace of its
// own behind a bridge. The test is the network's clients.
type cluster struct {
	t     *testing.T
	nodes []*clusterNode
}

// clusterNode is one server, and its way to the database.
type clusterNode struct {
	*serverProcess
	test    *testing.T
	address string
	link    string // its end of the wire, on the bridge
	space   string
	db      *detour
}

// newCluster makes the namespaces and the files; nothing runs yet. It is called on a host of the
// test's own (passwordtest.InHost). more is what the configuration has beside the database.
func newCluster(t *testing.T, pg *postgrestest.Server, database, standby, more string, names ...string) *cluster {
	t.Helper()
	c := &cluster{t: t}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", "/run/netns", "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	runHost(t, "ip", "link", "add", "hub", "type", "bridge")
	runHost(t, "ip", "address", "add", hubAddress+"/24", "dev", "hub")
	runHost(t, "ip", "link", "set", "hub", "up")
	keys := filepath.Join(t.TempDir(), "seal.key")
	for i, name := range names {
		n := &clusterNode{test: t, address: fmt.Sprintf("10.91.7.%d", i+2), link: "to-" + name, space: name}
		runHost(t, "ip", "netns", "add", name)
		runHost(t, "ip", "link", "add", n.link, "type", "veth", "peer", "name", "eth0", "netns", name)
		runHost(t, "ip", "link", "set", n.link, "master", "hub", "up")
		runHost(t, "ip", "-n", name, "address", "add", n.address+"/24", "dev", "eth0")
		runHost(t, "ip", "-n", name, "link", "set", "eth0", "up")
		runHost(t, "ip", "-n", name, "link", "set", "lo", "up")
		n.db = newDetour(t, hubAddress, fmt.Sprintf("127.0.0.1:%d", pg.Port))
		n.serverProcess = newServer(t, fmt.Sprintf(`listen: {radius: ["%s:1812"], web: "%s:8080"}
data_dir: data
store: {type: postgres, url: "postgres://radmatch@%s/%s?sslmode=disable", standby: %s}
seal: {key_file: %s}
node: %s
web: {insecure_http: true}
primaries: [{name: local, type: file, path: users.yaml}]
%s`, n.address, n.address, n.db.address(), database, standby, keys, name, more))
		c.nodes = append(c.nodes, n)
	}
	return c
}

// start starts the node in its namespace.
func (n *clusterNode) start() { n.serverProcess.start("ip", "netns", "exec", n.space) }

// unplug takes the node off the network, and plug puts it back.
func (n *clusterNode) unplug() { runHost(n.test, "ip", "link", "set", n.link, "down") }
func (n *clusterNode) plug()   { runHost(n.test, "ip", "link", "set", n.link, "up") }

// detour is a node's way to the database: connections are carried on, to where it leads now.
type detour struct {
	listener net.Listener
	mu       sync.Mutex
	to       string
	open     map[net.Conn]bool
}

func newDetour(t *testing.T, at, to string) *detour {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(at, "0"))
	if err != nil {
		t.Fatal(err)
	}
	d := &detour{listener: l, to: to, open: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); d.lead("") })
	go d.serve()
	return d
}

func (d *detour) address() string { return d.listener.Addr().String() }

// lead makes it lead elsewhere; what is open ends. Empty: nowhere, connections are refused.
func (d *detour) lead(to string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.to = to
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
	if to == "" {
		return
	}
	s, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer s.Close()
	go func() { io.Copy(s, c); s.Close() }()
	io.Copy(c, s)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, c)
}

// nasList is a client with the nodes in its list: it asks one some times, then the next, with a new
// packet each. It is used by one goroutine.
type nasList struct {
	nodes []*nasSocket
	first int           // the node that is asked first
	every time.Duration // between two tries
	tries int           // at one node
	used  int           // tries of the last request
}

func (c *cluster) nas(t testing.TB) *nasList {
	t.Helper()
	n := &nasList{every: 500 * time.Millisecond, tries: 3}
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
	for turn := range 4 * len(n.nodes) {
		node = (n.first + turn) % len(n.nodes)
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
