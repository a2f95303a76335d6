package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// clusterClients is how many clients have a login on its way at once.
const clusterClients = 20

// clusterLoad signs users in at all nodes, each with one code after the other, and tries each
// accepted code again at another node.
type clusterLoad struct {
	c     *cluster
	users chan *loadUser
	stop  chan struct{}
	work  sync.WaitGroup

	accepted, replayed, again atomic.Int64

	mu      sync.Mutex
	logins  []clusterLogin
	windows []*clusterWindow
}

// loadUser is a user who signs in with the code of a step that was not tried before.
type loadUser struct {
	name string
	next int64
}

// clusterLogin is what a client was told.
type clusterLogin struct {
	user, code   string
	step         int64
	begun, ended time.Time
	accepted     bool
}

// clusterWindow is the time from the beginning of a fault until all nodes are ready again.
type clusterWindow struct {
	name         string
	begun, ended time.Time
	may          bool // logins may be lost in it: what says so is in docs/cluster.md
}

// load starts the clients. Half of them ask the one node first, half the other.
func (c *cluster) load(t *testing.T, users []*loadUser) *clusterLoad {
	l := &clusterLoad{c: c, users: make(chan *loadUser, len(users)), stop: make(chan struct{})}
	for _, u := range users {
		l.users <- u
	}
	for i := range clusterClients {
		l.work.Go(func() {
			n, attacker := c.nas(t), c.nas(t)
			attacker.turns = 1
			for {
				select {
				case <-l.stop:
					return
				case u := <-l.users:
					n.first = i % len(c.nodes)
					l.signIn(t, n, attacker, u)
				}
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

// end ends the clients.
func (l *clusterLoad) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.work.Wait()
}

// signIn signs a user in. The code is valid for half a minute more at least.
func (l *clusterLoad) signIn(t *testing.T, n, attacker *nasList, u *loadUser) {
	now := time.Now().Unix() / 30
	step := max(u.next, now)
	if step > now+1 { // all have used their codes
		defer func() { l.users <- u }()
		select {
		case <-l.stop:
		case <-time.After(20 * time.Millisecond):
		}
		return
	}
	login := clusterLogin{user: u.name, step: step, code: passcode(tokenKey(u.name), step), begun: time.Now()}
	u.next = step + 1
	ok, err := n.login(u.name, login.code)
	login.ended, login.accepted = time.Now(), ok
	if err != nil && !errors.Is(err, errNoNode) {
		t.Errorf("%s: %v", u.name, err)
	}
	l.mu.Lock()
	l.logins = append(l.logins, login)
	l.mu.Unlock()
	l.users <- u
	if !ok {
		return
	}
	l.accepted.Add(1)
	attacker.first = (n.first + 1) % len(n.nodes)
	l.replay(t, attacker, &login)
}

// replay tries a code again that was accepted.
func (l *clusterLoad) replay(t *testing.T, attacker *nasList, login *clusterLogin) {
	ok, err := attacker.login(login.user, login.code)
	if ok {
		l.again.Add(1)
		t.Errorf("%s: the code %s was accepted for two logins", login.user, login.code)
	}
	if err == nil {
		l.replayed.Add(1)
	}
}

// login signs in with a passcode, and reports whether the client was told to let the user in.
func (n *nasList) login(user, code string) (accepted bool, err error) {
	a, _, err := n.ask(signIn(user, ""))
	if err != nil || a.Code != wire.AccessChallenge {
		return false, err
	}
	a, _, err = n.ask(answerTo(user, a.State(), code))
	return a.Code == wire.AccessAccept, err
}

// await waits until so many more logins were accepted.
func (l *clusterLoad) await(t *testing.T, more int64) {
	t.Helper()
	want := l.accepted.Load() + more
	for end := time.Now().Add(testTimeout); l.accepted.Load() < want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			for _, n := range l.c.nodes {
				t.Logf("%s:\n%s", n.space, n.log())
			}
			t.Fatalf("got %d logins fewer than %d in %s", want-l.accepted.Load(), more, testTimeout)
		}
	}
}

// fault notes that one begins; the function that it returns, that it is over.
func (l *clusterLoad) fault(name string, mayLose bool) (over func()) {
	w := &clusterWindow{name: name, begun: time.Now(), may: mayLose}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.windows = append(l.windows, w)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		w.ended = time.Now()
	}
}

// newest returns the last codes that were accepted.
func (l *clusterLoad) newest(n int) []clusterLogin {
	l.mu.Lock()
	defer l.mu.Unlock()
	good := slices.DeleteFunc(slices.Clone(l.logins), func(v clusterLogin) bool { return !v.accepted })
	return good[max(0, len(good)-n):]
}

// clusterFigures are what the trail has beside what the clients were told.
type clusterFigures struct {
	logins, accepts, without, twice, ended, lost, excused int
}

// figures reads the trail of users.
func (l *clusterLoad) figures(p *clusterNode) (f clusterFigures) {
	codes, ends := map[string]int{}, map[string][]mfa.Event{}
	for _, ev := range p.trail() {
		if !strings.HasPrefix(ev.User.String(), "load") {
			continue
		}
		if ev.Kind == mfa.EventLogin && ev.ID != "" && ev.Count <= 1 {
			ends[ev.ID] = append(ends[ev.ID], ev)
		}
		if ev.Outcome == mfa.Accept {
			codes[fmt.Sprintf("%s %d", ev.User, ev.Step)]++
		}
	}
	f.logins = len(l.logins)
	for i := range l.logins {
		switch v := &l.logins[i]; {
		case v.accepted:
			f.accepts++
			if codes[fmt.Sprintf("%s %d", v.user, v.step)] == 0 {
				f.without++
			}
		case l.excuses(v):
			f.excused++
		default:
			f.lost++
		}
	}
	for _, n := range codes {
		if n > 1 {
			f.twice++
		}
	}
	for _, list := range ends {
		if len(list) > 1 {
			f.ended++
			p.t.Logf("a login with %d ends: %+v", len(list), list)
		}
	}
	return f
}

// excuses reports whether a login was on its way in a fault that may lose some.
func (l *clusterLoad) excuses(v *clusterLogin) bool {
	return slices.ContainsFunc(l.windows, func(w *clusterWindow) bool { return w.may && w.meets(v) })
}

func (w *clusterWindow) meets(v *clusterLogin) bool {
	return v.ended.After(w.begun) && v.begun.Before(w.ended)
}

// report is a table of the faults, and under it the figures of all.
func (l *clusterLoad) report(f clusterFigures) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "fault\tlasted\taccepted\tno Accept for\tslowest login\tlost")
	for _, win := range l.windows {
		accepted, lost, slowest := 0, 0, time.Duration(0)
		at := []time.Time{win.begun, win.ended}
		for i := range l.logins {
			v := &l.logins[i]
			switch {
			case !win.meets(v):
			case !v.accepted:
				lost++
			default:
				accepted++
				slowest = max(slowest, v.ended.Sub(v.begun))
				if v.ended.Before(win.ended) {
					at = append(at, v.ended)
				}
			}
		}
		slices.SortFunc(at, time.Time.Compare)
		pause := time.Duration(0)
		for i := range at[1:] {
			pause = max(pause, at[i+1].Sub(at[i]))
		}
		fmt.Fprintf(w, "%s\t%.1f s\t%d\t%.2f s\t%.2f s\t%d\n", win.name, win.ended.Sub(win.begun).Seconds(), accepted, pause.Seconds(), slowest.Seconds(), lost)
	}
	w.Flush()
	fmt.Fprintf(&b, "logins %d: Accepts %d, without event %d, codes twice %d, logins with two ends %d; codes tried again %d, accepted %d\n",
		f.logins, f.accepts, f.without, f.twice, f.ended, l.replayed.Load(), l.again.Load())
	fmt.Fprintf(&b, "logins lost beyond one retransmission %d, and %d in the faults that may lose some\n", f.lost, f.excused)
	return b.String()
}
