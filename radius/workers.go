package radius

import "sync/atomic"

// maxIdle is how many goroutines stay for the next request. Each keeps the stack
// that a login has grown, which costs more than the rest of starting one.
const maxIdle = 256

// task is a request on its way to the Authenticator.
type task struct {
	x *exchange
	a Authenticator
}

// workers run tasks, each in a goroutine of its own: a primary may take its
// time. A goroutine that is done takes the next task.
type workers struct {
	tasks chan task       // unbuffered: who receives is idle
	done  <-chan struct{} // ends the idle
	idle  atomic.Int64
}

func (w *workers) do(t task) {
	select {
	case w.tasks <- t:
	default:
		go w.run(t)
	}
}

func (w *workers) run(t task) {
	for {
		t.x.decide(t.a)
		t = task{} // an idle worker keeps nothing of the login alive
		if w.idle.Add(1) > maxIdle {
			w.idle.Add(-1)
			return
		}
		select {
		case t = <-w.tasks:
			w.idle.Add(-1)
		case <-w.done:
			return
		}
	}
}
