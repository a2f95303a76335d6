package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

const (
	// maxUpstreamCPU is what a login by an upstream may cost, of what FreeRADIUS needs
	// to proxy it.
	maxUpstreamCPU = 1.0
	upstreamLogins = 20_000 // a run
)

//go:embed home.conf
var homeConf string

//go:embed proxy.conf
var proxyConf string

const upstreamConf = `listen:
  radius: ["127.0.0.1:0"]
  web: "127.0.0.1:0"
data_dir: data
log: {level: warn}
primaries:
  - {name: home, type: radius, servers: [{address: "127.0.0.1:%d", secret: %[2]s}]}
push: []
clients:
  - name: bench
    addresses: [127.0.0.0/8]
    secret: %[2]s
    exempt_client: true
mfa:
  require_message_authenticator: "yes"
`

// upstream is `make bench-upstream`: what a login costs radmatch whose primary is
// another RADIUS server, and FreeRADIUS that proxies the same requests to the same
// server. Both verify and sign both ways; radmatch also has the event on disk
// before its Access-Accept leaves.
func (b *bench) upstream(ctx context.Context) error {
	b.levels = []int{16, 128}
	if b.pairs < 1 {
		return errors.New("there must be at least one pair")
	}
	if err := b.open(&b.radmatch, &b.freeradius); err != nil {
		return err
	}
	if !b.keep {
		defer os.RemoveAll(b.dir)
	}
	if err := b.write(); err != nil {
		return err
	}
	home, port, err := b.startPart(ctx, "home", homeConf, 0)
	if err != nil {
		return err
	}
	defer home.kill()
	theirs, _, err := b.startPart(ctx, "proxy", proxyConf, port)
	if err != nil {
		return err
	}
	defer theirs.kill()
	text := fmt.Sprintf(upstreamConf, port, benchSecret)
	if err := os.WriteFile(b.path("radmatch", "radmatch.yaml"), []byte(text), 0o600); err != nil {
		return err
	}
	ours, err := b.startRadmatch(ctx)
	if err != nil {
		return err
	}
	defer ours.stop()
	pairs := map[int][]pair{}
	for i := range b.pairs {
		b.note("pair %d of %d", i+1, b.pairs)
		b.header()
		for _, level := range b.levels {
			p, err := b.pair(ctx, ours, theirs, load{mode: "password", inFlight: level, logins: upstreamLogins, duration: roomInStep}, i%2 == 1)
			if err != nil {
				return err
			}
			pairs[level] = append(pairs[level], p)
		}
	}
	b.medians(pairs, maxUpstreamCPU)
	if len(b.failures) > 0 {
		return fmt.Errorf("not every login ended as it must: %v", b.failures)
	}
	return nil
}

// startPart starts one of the two FreeRADIUS servers at a free port.
func (b *bench) startPart(ctx context.Context, name, conf string, home int) (*server, int, error) {
	port, err := freePort()
	if err != nil {
		return nil, 0, err
	}
	text := strings.NewReplacer("@DIR@", b.path("freeradius"), "@SECRET@", benchSecret, "@PORT@", strconv.Itoa(port),
		"@HOME@", strconv.Itoa(home), "@THREADS@", strconv.Itoa(b.threads)).Replace(conf)
	if err := os.WriteFile(b.path("freeradius", name+".conf"), []byte(text), 0o600); err != nil {
		return nil, 0, err
	}
	s, err := b.startFreeRADIUSAs(ctx, name, port)
	return s, port, err
}
