package phone

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/text"
)

// Enroll enrols this terminal as a device, whose key it writes to file.
func Enroll(ctx context.Context, out io.Writer, link, name, file string, force bool) error {
	save, discard, err := reservePhone(file, force)
	if err != nil {
		return err
	}
	defer discard()
	p, err := device.Enroll(ctx, link, name, device.MaxVersion, nil)
	if err != nil {
		hint := "is the address right, and the server up?"
		if told := (*device.PhoneError)(nil); errors.As(err, &told) {
			hint = phoneHint(told)
		}
		return console.WithHint(hint, fmt.Errorf("phone: enrol: %w", err))
	}
	if err := save(p); err != nil {
		return fmt.Errorf("phone: enrolled as %s, but its key is lost: %w", p.Device, err)
	}
	fmt.Fprintf(out, "enrolled %s as device %q of %s\n", p.Device, p.Name, text.Printable(p.User, 128))
	return nil
}

// File is the file of the key: state, or if that is empty the default.
func File(state string) (string, error) {
	if state != "" {
		return state, nil
	}
	return defaultPhoneFile()
}

// Hostname is what this device is called by default.
func Hostname() string {
	if h, err := os.Hostname(); err == nil && h != "" {
		return text.Printable(h, 64)
	}
	return "terminal"
}

// Watcher is one run of `phone watch`.
type Watcher struct {
	out   io.Writer
	phone *device.Phone
	once  bool

	// The answer that is given without asking; action is empty where the user is asked.
	action device.Action
	number string

	waiting []device.PromptView // not decided yet, oldest first; the first is asked for
	from    time.Time           // lines from before were meant for the one before
}

// readTime is how long a user needs at least to read that another request is
// asked for than the one that was being answered.
const readTime = time.Second

// WatchOptions are what is answered without asking, at most one of them, and when it ends.
type WatchOptions struct {
	Approve, Deny, NotMe bool
	HasNumber            bool
	Number               string // to approve with
	Once                 bool   // end after the first request
}

// NewWatcher is that of the device whose key is in file.
func NewWatcher(out io.Writer, file string, o WatchOptions) (*Watcher, error) {
	w := &Watcher{out: out, once: o.Once}
	if err := w.answerAll(o); err != nil {
		return nil, err
	}
	var err error
	w.phone, err = loadPhone(file)
	return w, err
}

// answerAll sets the answer to every request from the flags.
func (w *Watcher) answerAll(o WatchOptions) error {
	set := 0
	for _, f := range []struct {
		on     bool
		action device.Action
	}{{o.HasNumber, device.ActionApprove}, {o.Approve, device.ActionApprove}, {o.Deny, device.ActionDeny}, {o.NotMe, device.ActionNotMe}} {
		if f.on {
			set++
			w.action = f.action
		}
	}
	if set > 1 {
		return console.UsageError("give one of them", "--approve, --deny, --not-me and --number exclude each other")
	}
	if o.HasNumber && (o.Number == "" || strings.Trim(o.Number, "0123456789") != "") {
		return console.UsageError("radmatch phone watch --number 42", "--number must be digits; got %q", o.Number)
	}
	w.number = o.Number
	return nil
}

// Run answers requests until ctx ends, which is how the user ends it, or,
// with once, until the first is over.
func (w *Watcher) Run(ctx context.Context, poll bool, stdin io.Reader) error {
	parent := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	notices := make(chan device.Notice)
	ended := make(chan error, 1)
	go func() {
		ended <- w.phone.Watch(ctx, poll, func(n device.Notice) error {
			select {
			case notices <- n:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	var lines <-chan string
	if w.action == "" {
		lines = readLines(ctx, stdin)
	}
	for {
		var err error
		select {
		case n := <-notices:
			err = w.notice(ctx, n)
		case line, ok := <-lines:
			if !ok {
				return console.UsageError("radmatch phone watch --approve", "phone: cannot ask: the input has ended")
			}
			err = w.answered(ctx, line)
		case err = <-ended:
			if parent.Err() != nil {
				return nil
			}
			if told := (*device.PhoneError)(nil); errors.As(err, &told) {
				err = console.WithHint(phoneHint(told), err)
			}
		}
		if errors.Is(err, errDone) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// phoneHint is what to do about an error that trying again does not mend.
func phoneHint(told *device.PhoneError) string {
	switch {
	case told.Code == "device_unknown":
		return "radmatch phone enroll LINK --force"
	case told.Code == "invitation":
		return "radmatch device invite USER makes a new link"
	case told.MinVersion > device.MaxVersion:
		return "install the server's version of radmatch here; link and device stay good"
	}
	return ""
}

// errDone ends run without an error.
var errDone = errors.New("done")

func readLines(ctx context.Context, r io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

func (w *Watcher) notice(ctx context.Context, n device.Notice) error {
	switch {
	case n.Connected:
		fmt.Fprintf(w.out, "waiting for sign-ins of %s\n", text.Printable(w.phone.User, 128))
	case n.Problem != nil:
		fmt.Fprintf(w.out, "not connected: %v; trying again\n", n.Problem)
	case n.New != nil:
		w.show(*n.New)
		if w.action != "" {
			return w.decide(ctx, *n.New, w.action, w.number)
		}
		w.waiting = append(w.waiting, *n.New)
		if len(w.waiting) == 1 {
			w.ask()
		}
	case n.Changed != nil:
		fmt.Fprintf(w.out, "request %s: another request joined\n", short(n.Changed.ID))
		w.requests(*n.Changed)
		for i := range w.waiting {
			if w.waiting[i].ID == n.Changed.ID {
				w.waiting[i] = *n.Changed
			}
		}
	case n.Withdrawn != nil:
		return w.withdrawn(*n.Withdrawn)
	}
	return nil
}

func (w *Watcher) withdrawn(g device.Withdrawn) error {
	i := slices.IndexFunc(w.waiting, func(v device.PromptView) bool { return v.ID == g.ID })
	if i < 0 {
		return nil // answered here
	}
	why := "it is over"
	if g.Reason == device.WithdrawnDecided {
		why = "decided on another device"
	}
	fmt.Fprintf(w.out, "request %s withdrawn: %s\n", short(g.ID), why)
	w.waiting = slices.Delete(w.waiting, i, i+1)
	if w.once {
		return &console.ExitError{Code: console.ExitNoAnswer}
	}
	if i == 0 {
		w.askNext()
	}
	return nil
}

// show prints a request. All of it comes from the network.
func (w *Watcher) show(v device.PromptView) {
	fmt.Fprintf(w.out, "\nsign-in request %s\n  user      %s\n", short(v.ID), text.Printable(v.User, 128))
	if !v.HidesClient {
		fmt.Fprintf(w.out, "  client    %s\n", text.Printable(v.Client, 128))
	}
	w.requests(v)
	fmt.Fprintf(w.out, "  expires   %s\n", v.Expires.Local().Format(time.DateTime))
	if v.NumberRequired {
		fmt.Fprintln(w.out, "  number    needed: the one that the sign-in shows")
	}
	if v.ShowsCode {
		fmt.Fprintln(w.out, "  code      shown here after the approval, to be typed where you sign in")
	}
	if v.Refused != "" {
		fmt.Fprintf(w.out, "  refused   %s\n", text.Printable(v.Refused, 200))
	}
}

func (w *Watcher) requests(v device.PromptView) {
	for _, r := range v.Requests {
		line := r.Time.Local().Format(time.DateTime)
		if !v.HidesClient {
			line += " by " + text.Printable(r.Client, 128)
		}
		if !v.HidesPlace {
			line += ", from " + r.From()
		}
		fmt.Fprintf(w.out, "  at        %s\n", line)
	}
	if v.More > 0 {
		fmt.Fprintf(w.out, "            and %d more\n", v.More)
	}
}

// askNext asks for the request that takes the place of another, if there is one.
func (w *Watcher) askNext() {
	w.from = time.Now().Add(readTime) // also for one that comes in this moment
	if len(w.waiting) > 0 {
		w.ask()
	}
}

func (w *Watcher) ask() {
	v := w.waiting[0]
	if v.NumberRequired && v.Refused == "" {
		fmt.Fprintf(w.out, "request %s: type the number, d to deny, m if it was not you: ", short(v.ID))
		return
	}
	fmt.Fprintf(w.out, "request %s: a to approve, d to deny, m if it was not you: ", short(v.ID))
}

// answered handles a line that the user typed.
func (w *Watcher) answered(ctx context.Context, line string) error {
	if len(w.waiting) == 0 {
		return nil
	}
	if time.Now().Before(w.from) {
		fmt.Fprintln(w.out, "too early: nothing was answered")
		w.ask()
		return nil
	}
	v := w.waiting[0]
	action, number := device.ActionApprove, ""
	switch line = strings.ToLower(strings.TrimSpace(line)); {
	case slices.Contains([]string{"d", "deny", "n", "no"}, line):
		action = device.ActionDeny
	case slices.Contains([]string{"m", "not me"}, line):
		action = device.ActionNotMe
	case !v.NumberRequired && slices.Contains([]string{"a", "approve", "y", "yes"}, line):
	case v.NumberRequired && line != "" && strings.Trim(line, "0123456789") == "":
		number = line
	default:
		w.ask()
		return nil
	}
	w.waiting = w.waiting[1:]
	if err := w.decide(ctx, v, action, number); err != nil {
		return err
	}
	w.askNext()
	return nil
}

// decide sends a decision. An approval that cannot be right is not sent.
func (w *Watcher) decide(ctx context.Context, v device.PromptView, action device.Action, number string) error {
	if action == device.ActionApprove {
		why := ""
		switch {
		case v.Refused != "":
			why = text.Printable(v.Refused, 200)
		case v.NumberRequired && number == "":
			why = "it needs the number that the sign-in shows"
		case !v.NumberRequired && number != "":
			why = "it takes no number"
		}
		if why != "" {
			fmt.Fprintf(w.out, "request %s not approved: %s\n", short(v.ID), why)
			return w.over(&console.ExitError{Code: console.ExitRejected})
		}
	}
	told, err := w.phone.Decide(ctx, v, action, number)
	switch {
	case err != nil && w.once:
		return fmt.Errorf("phone: request %s: %w", short(v.ID), err)
	case err != nil:
		fmt.Fprintf(w.out, "request %s: %v\n", short(v.ID), err)
	case told.Outcome == device.OutcomeWrongNumber:
		fmt.Fprintf(w.out, "request %s denied: wrong number\n", short(v.ID))
		return w.over(&console.ExitError{Code: console.ExitRejected})
	default:
		fmt.Fprintf(w.out, "request %s %s\n", short(v.ID), text.Printable(string(told.Outcome), 20))
	}
	if told.Code != "" {
		fmt.Fprintf(w.out, "  code      %s\n            type it where you sign in, until %s\n",
			text.Printable(told.Code, 16), told.CodeExpires.Local().Format(time.TimeOnly))
	}
	return w.over(errDone)
}

// over ends the run with err when it was for one request.
func (w *Watcher) over(err error) error {
	if w.once {
		return err
	}
	return nil
}

// short is enough of an id to tell requests apart.
func short(id string) string { return text.Printable(id, 16) }
