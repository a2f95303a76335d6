package radius

import "sync"

// maxIdle is how many goroutines stay for the next request. Each keeps the stack
// that a login has grown, which costs more than the rest of starting one.
const maxIdle = 256

// task is a request on its way to the Authenticator.
type task struct {
	x *exchange
	a Authenticator
}

// workers run tasks, each in a goroutine of its own: a primary may take its
// time. A goroutine that is done takes the next task; the one that was done last
// comes first, because the processor still knows its stack.
type workers struct {
	mu      sync.Mutex
	idle    []chan task // capacity 1
	stopped bool
}

func (w *workers) do(t task) {
	w.mu.Lock()
	last := len(w.idle) - 1
	if last < 0 {
		w.mu.Unlock()
		go w.run(t)
		return
	}
	next := w.idle[last]
	w.idle = w.idle[:last]
	w.mu.Unlock()
	next <- t
}

func (w *workers) run(t task) {
	next := make(chan task, 1)
	for ok := true; ok; {
		t.x.decide(t.a)
		t = task{} // an idle worker keeps nothing of the login alive
		if !w.rest(next) {
			return
		}
		t, ok = <-next
	}
}

// rest puts a worker among the idle ones, unless there are enough.
func (w *workers) rest(next chan task) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || len(w.idle) >= maxIdle {
		return false
	}
	w.idle = append(w.idle, next)
	return true
}

// stop ends the idle workers, and the others when they are done.
func (w *workers) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	for _, next := range w.idle {
		close(next)
	}
	w.idle = nil
}
