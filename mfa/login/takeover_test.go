package login

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// notified counts what the devices of the user were notified of at each node.
func (w *world) notified() (counts [2]int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, n := range w.nodes {
		for _, g := range n.phones {
			if !g.Resumed {
				counts[i]++
				continue
			}
			select {
			case <-g.Again:
				counts[i]++
			default:
			}
		}
	}
	return counts
}

// TestNotifiesAgain: the node at which a request joins the prompt of one that is dead has the
// devices notified once more, and no other does.
func TestNotifiesAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		resumes, dies, state bool
		want                 int
	}{
		"the opener lives":             {resumes: true, want: 0},
		"it is dead":                   {resumes: true, dies: true, want: 1},
		"it is dead, links of its own": {dies: true, want: 1},
		"it lives, links of its own":   {want: 0},
		"it is dead, a State":          {resumes: true, dies: true, state: true, want: 1},
		"it lives, a State":            {resumes: true, state: true, want: 0},
		"dead, a State, links":         {dies: true, state: true, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "alice", asBuilt)
				defer w.end()
				for _, n := range w.nodes {
					n.client.Resumes, n.client.NumberInPrompt = tt.resumes, tt.state
				}
				var state string
				if tt.state {
					state = w.challenged(w.nodes[0], "")
				} else {
					asks(0, "request 1")(w)
					w.calm()
				}
				if counts := w.notified(); counts != [2]int{1, 0} {
					t.Fatalf("opened: got notifications %v; want one at the first node", counts)
				}
				number := shownNumber(w.nodes[0])
				if tt.dies {
					w.kill(w.nodes[0])
				}
				for _, name := range []string{"request 2", "request 3"} { // the second changes nothing
					if tt.state {
						w.send(w.nodes[1], name, &mfa.Request{State: state, Cred: mfa.Password(""), EndUser: "198.51.100.7"})
					} else {
						asks(1, name)(w)
					}
					w.calm()
				}
				if counts := w.notified(); counts[1] != tt.want {
					t.Errorf("got %d notifications at the other node; want %d", counts[1], tt.want)
				}
				if tt.resumes && shownNumber(w.nodes[1]) != number {
					t.Errorf("got number %q there; want %q", shownNumber(w.nodes[1]), number)
				}
			})
		})
	}
}

func shownNumber(n *node) string {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	for _, g := range n.phones {
		return g.Number
	}
	return ""
}

// TestNotifiesAgainOnce: of two nodes that find the opener dead at once, the one whose entry
// comes first notifies.
func TestNotifiesAgainOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "alice", asBuilt)
		defer w.end()
		third := w.newNode("C")
		a := w.nodes[0]
		asks(0, "request 1")(w)
		w.calm()
		third.refresh(len(w.log))
		w.kill(a)
		w.nodes[0] = third
		w.dead = a
		defer a.Pending.Close(t.Context())
		asks(0, "request 2")(w)
		asks(1, "request 3")(w)
		w.calm()
		time.Sleep(time.Millisecond)
		w.calm()
		counts := w.notified()
		if counts[0]+counts[1] != 1 {
			t.Errorf("got notifications %v; want one of the two nodes", counts)
		}
		if n := len(w.log); n != 3 {
			t.Errorf("got %d entries; want the prompt and two that join", n)
		}
	})
}
