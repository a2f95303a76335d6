package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/otp"
)

// A start with a long trail: how long radmatch takes until it is ready, after it was killed
// under load and after it has ended in order, with each of its databases.

const (
	trailEvents = 2_000_000
	trailTime   = 30 * 24 * time.Hour // in which they came
	maxStart    = 3.0                 // seconds
	fillers     = 256                 // logins at once that write the trail
	// foldsAfter is more than a server waits until it folds.
	foldsAfter = 5 * time.Second
	// wrongEach is how many logins there are to one with a wrong code, which counts against
	// its user when the server starts again.
	wrongEach = 20
)

func (b *bench) onlyStarts(ctx context.Context) error {
	return b.within(ctx, func(ctx context.Context) error {
		if err := b.write(); err != nil {
			return err
		}
		return b.starts(ctx)
	})
}

// starts measures the start on SQLite and on PostgreSQL.
func (b *bench) starts(ctx context.Context) error {
	if err := b.startsOn(ctx, "SQLite", ""); err != nil {
		return err
	}
	server, err := postgrestest.New()
	if errors.Is(err, exec.ErrNotFound) {
		b.note("no start on PostgreSQL: it is not installed")
		return nil
	}
	if err != nil {
		return err
	}
	defer server.Close()
	return b.startsOn(ctx, "PostgreSQL", server.URL("postgres"))
}

// startsOn measures the start on the database that has a URL; empty: SQLite.
func (b *bench) startsOn(ctx context.Context, name, url string) error {
	if err := os.RemoveAll(b.path("radmatch", "data")); err != nil {
		return err
	}
	if err := b.useStore(url); err != nil {
		return err
	}
	began := time.Now()
	if err := b.writeTrail(ctx, url); err != nil {
		return err
	}
	b.note("%s: %d users and tokens, %d events, written in %.0f s by a server that was killed", name, b.users, trailEvents, time.Since(began).Seconds())
	for range 3 {
		s, err := b.startRadmatch(ctx)
		if err != nil {
			return err
		}
		b.note("%s: ready after %.2f s, after kill -9 under load: %s", name, s.took.Seconds(), reached(s.took.Seconds(), maxStart))
		s.kill()
	}
	s, err := b.startRadmatch(ctx)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(foldsAfter):
		err = awaitIdle(ctx, s)
	}
	s.stop()
	if err != nil {
		return err
	}
	return b.startUp(ctx, "in order, on "+name)
}

// useStore makes radmatch use the database that has a URL; empty: SQLite.
func (b *bench) useStore(url string) error {
	conf := radmatchConf
	if url != "" {
		conf += fmt.Sprintf("store: {type: postgres, url: %q, standby: none}\nseal: {key_file: data/seal.key}\nnode: bench\n", url)
	}
	return os.WriteFile(b.path("radmatch", "radmatch.yaml"), []byte(conf), 0o600)
}

// writeTrail runs this program again as a server that writes a trail, and kills it.
func (b *bench) writeTrail(ctx context.Context, url string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s := &server{name: "trail", limit: 15 * time.Minute}
	s.cmd = exec.CommandContext(ctx, self, "-fill", b.path("radmatch", "data"), "-url", url, "-users", fmt.Sprint(b.users))
	output := b.path("filled")
	err = s.start(output, func() bool {
		text, _ := os.ReadFile(output)
		return string(text) == "filled\n"
	})
	s.kill()
	return err
}

// fillTrail registers a token for each user and writes the events of their logins, then says
// so and waits to be killed: what lies in memory or in a log stays there.
func (b *bench) fillTrail(ctx context.Context, dir, url string) error {
	var next atomic.Int64
	begun := time.Now().Add(-trailTime)
	st, err := store.Open(ctx, store.Options{
		Dir: dir, URL: url, Standby: "none", Node: "filler", Server: true,
		Now: func() time.Time {
			return begun.Add(trailTime / trailEvents * time.Duration(min(next.Load(), trailEvents)))
		},
	})
	if err != nil {
		return err
	}
	tokens := make([]otp.Token, b.users)
	for i := range tokens {
		tokens[i] = otp.NewTOTP(mfa.NameOf(userName(i)))
		tokens[i].ID, tokens[i].Secret = tokenID(i), tokenKey(i)
	}
	if _, err := st.AddTokens(ctx, tokens, mfa.Event{Kind: mfa.EventAdmin, Details: mfa.Details{Text: "benchmark"}}); err != nil {
		return err
	}
	var failed atomic.Pointer[error]
	var w sync.WaitGroup
	for range fillers {
		w.Go(func() {
			for n := next.Add(1) - 1; n < trailEvents && failed.Load() == nil; n = next.Add(1) - 1 {
				if err := b.fillOne(st, int(n), begun.Add(trailTime/trailEvents*time.Duration(n))); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	w.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	fmt.Fprintln(b.out, "filled")
	<-ctx.Done()
	return nil
}

func tokenID(i int) string { return fmt.Sprintf("tok%06d", i) }

// fillOne writes the event of a login: accepted with a code, or refused.
func (b *bench) fillOne(st *store.Store, n int, at time.Time) error {
	user, round := n%b.users, n/b.users
	ev := mfa.Event{
		ID: fmt.Sprintf("f%09d", n), Time: at, Kind: mfa.EventLogin,
		Origin: mfa.Origin{Client: "bench", Group: "bench", User: mfa.NameOf(userName(user)), EndUser: "198.51.100.7", Source: "127.0.0.1:41234"},
		Plan:   mfa.PlanOTP, Reason: mfa.ReasonDefaultOTP, Outcome: mfa.Accept, Method: "totp",
		Token: tokenID(user), Step: int64(round + 1), Used: true, Primary: 12 * time.Microsecond, Factor: 8 * time.Second, Total: 8 * time.Second,
	}
	if n%wrongEach == round%wrongEach { // not always the same users
		ev.Reason, ev.Outcome, ev.Tries, ev.Used, ev.Token, ev.Step = mfa.ReasonWrongCode, mfa.Reject, 1, false, "", 0
	}
	u, err := st.User(context.Background(), ev.User)
	if err != nil {
		return err
	}
	return st.Append(context.Background(), u.Version, ev)
}
