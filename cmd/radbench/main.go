package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := bench{out: os.Stdout, levels: []int{16, 128, 256}, lastStep: map[given]int64{}}
	serveEcho := flag.Bool("echo", false, "be the echo server (used by radbench itself)")
	flag.StringVar(&b.radmatch, "radmatch", "bin/radmatch", "the radmatch to measure")
	flag.StringVar(&b.freeradius, "freeradius", "/usr/sbin/freeradius", "the FreeRADIUS to measure it beside")
	flag.StringVar(&b.parent, "dir", "bin", "where the files of the run go, on a real disk; they are removed at the end")
	flag.BoolVar(&b.keep, "keep", false, "keep the files of the run")
	flag.IntVar(&b.users, "users", 100_000, "users, each with a TOTP token")
	flag.IntVar(&b.pushes, "pushes", 20_000, "of the users, who also have a push device; 0 leaves the push part out")
	flag.IntVar(&b.pairs, "pairs", 5, "runs of each server at each number of logins in flight")
	flag.IntVar(&b.threads, "threads", 2, "worker threads of FreeRADIUS")
	flag.IntVar(&b.devices, "devices", 10_000, "with -push: devices that are connected")
	flag.BoolVar(&b.tls, "tls", false, "with -push: devices connect over TLS")
	offered := flag.Bool("offered", false, "measure only a fixed offered load")
	starts := flag.Bool("start", false, "measure only the start with a long trail")
	fill := flag.String("fill", "", "write a trail into this folder (used by radbench itself)")
	url := flag.String("url", "", "with -fill: of the database, where it is PostgreSQL")
	waiting := flag.Bool("waiting", false, "measure only waiting pushes")
	users := flag.Bool("push", false, "measure pushes to devices and their decisions instead")
	ldap := flag.Bool("ldap", false, "measure the LDAP primary beside a bare client instead")
	upstream := flag.Bool("upstream", false, "measure the RADIUS primary beside FreeRADIUS as a proxy instead")
	flag.Parse()
	run := func(ctx context.Context) error { return b.main(ctx, *serveEcho) }
	if *ldap {
		run = b.ldap
	}
	if *upstream {
		run = b.upstream
	}
	if *users {
		run = b.pushBench
	}
	if *offered {
		run = b.onlyOffered
	}
	if *waiting {
		run = b.onlyWaiting
	}
	if *starts {
		run = b.onlyStarts
	}
	if *fill != "" {
		run = func(ctx context.Context) error { return b.fillTrail(ctx, *fill, *url) }
	}
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "radbench: error: %v\n", err)
		os.Exit(1)
	}
}

// bench is one run of the program.
type bench struct {
	site
	out                          io.Writer
	radmatch, freeradius, parent string
	keep                         bool
	pushes, pairs, threads       int
	devices                      int   // connected, with -push
	tls                          bool  // they connect over it
	levels                       []int // logins in flight
	accepted                     int   // by radmatch, of all runs
	failures                     []string
	lastStep                     map[given]int64
}

func (b *bench) main(ctx context.Context, serveEcho bool) error {
	if serveEcho {
		return echo(b.out)
	}
	return b.within(ctx, b.parts)
}

// within makes the folder of a run, in which part measures.
func (b *bench) within(ctx context.Context, part func(context.Context) error) error {
	if b.pushes < 0 || b.perLevel() < 1 || b.pairs < 1 {
		return errors.New("there must be at least one pair, and users without a device for each number in flight")
	}
	if err := b.open(&b.radmatch, &b.freeradius); err != nil {
		return err
	}
	if !b.keep {
		defer os.RemoveAll(b.dir)
	}
	if err := part(ctx); err != nil {
		return err
	}
	if len(b.failures) > 0 {
		return fmt.Errorf("not every login ended as it must: %v", b.failures)
	}
	return nil
}

// inOrder runs parts until one fails.
func inOrder(ctx context.Context, parts ...func(context.Context) error) error {
	for _, part := range parts {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fill writes what all parts need, and registers the tokens.
func (b *bench) fill(ctx context.Context) error {
	b.note("writing %d users for both servers", b.users)
	if err := b.write(); err != nil {
		return err
	}
	return b.importTokens(ctx)
}

func (b *bench) onlyOffered(ctx context.Context) error {
	return b.within(ctx, func(ctx context.Context) error {
		return inOrder(ctx, b.fill, b.offered, b.checkTrail, b.minute)
	})
}

func (b *bench) onlyWaiting(ctx context.Context) error {
	return b.within(ctx, func(ctx context.Context) error { return inOrder(ctx, b.fill, b.waitingPushes) })
}

// open finds the programs and makes the folder of the run.
func (b *bench) open(programs ...*string) error {
	for _, program := range programs {
		path, err := exec.LookPath(*program)
		if err != nil {
			return err
		}
		if *program, err = filepath.Abs(path); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(b.parent, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(b.parent, "radbench-")
	if err != nil {
		return err
	}
	b.dir, err = filepath.Abs(dir)
	return err
}

// parts is the benchmark from top to bottom.
func (b *bench) parts(ctx context.Context) error {
	if err := b.fill(ctx); err != nil {
		return err
	}
	if err := b.startUp(ctx, "fresh"); err != nil {
		return err
	}
	if err := b.floor(ctx); err != nil {
		return err
	}
	if err := b.compare(ctx); err != nil {
		return err
	}
	if err := b.offered(ctx); err != nil {
		return err
	}
	if err := b.checkTrail(ctx); err != nil {
		return err
	}
	if err := b.startUp(ctx, "with this trail"); err != nil {
		return err
	}
	if b.pushes > 0 {
		if err := b.waitingPushes(ctx); err != nil {
			return err
		}
	}
	if err := b.minute(ctx); err != nil {
		return err
	}
	return b.starts(ctx)
}

// importTokens registers the users' tokens with the command that an operator
// would use.
func (b *bench) importTokens(ctx context.Context) error {
	start := time.Now()
	cmd := exec.CommandContext(ctx, b.radmatch, "totp", "import", "tokens.csv")
	cmd.Dir = b.path("radmatch")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("radmatch totp import: %w: %.2000s", err, out)
	}
	b.note("radmatch totp import: %.1f s", time.Since(start).Seconds())
	return nil
}

// perLevel is how many logins a run has: every user without a device signs in
// once in each pair, at one of the levels, because a code is accepted once.
func (b *bench) perLevel() int { return (b.users - b.pushes) / len(b.levels) }

func (b *bench) note(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }
