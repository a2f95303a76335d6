package login

import (
	"context"
	"errors"
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// rig is an engine on fakes. When its test ends it closes Pending and checks
// what holds for every test: each request was replied to once, no login was accepted
// before an accept event of that login was on disk, every login has one event,
// and nothing is left in the tables.
type rig struct {
	*Engine
	t       *testing.T
	client  *mfa.Client
	journal *journal
	users   *users
	codes   *codes
	phone   *phone
	primary *primary
	stop    context.CancelFunc

	mu      sync.Mutex
	answers []*answer
	panics  int
}

// newRig must be called inside a synctest bubble. The user alice has a device.
func newRig(t *testing.T) *rig {
	r := &rig{t: t, journal: &journal{}, phone: &phone{}, primary: &primary{}}
	r.users = &users{m: map[string]mfa.User{"alice": {Name: mfa.NameOf("alice"), Devices: 1}, "bob": {Name: mfa.NameOf("bob"), Codes: 1}}}
	r.codes = &codes{right: "123456"}
	r.client = r.newClient("vpn", "edge")
	r.Engine = &Engine{
		Pending: &Pending{Journal: r.journal, Ledger: r.journal, Directory: r.users, Max: 10_000, MaxPerClient: 10_000, Panicked: func(string, any, []byte) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.panics++
		}},
		Policy:      mfa.Policy{NumberMatching: forEveryone, ShowApplicationName: forEveryone, ShowLocation: forEveryone},
		Limits:      &Limits{},
		Refusals:    &Refusals{Journal: r.journal},
		Directory:   r.users,
		Codes:       r.codes,
		Clients:     map[string]*mfa.Client{"vpn": r.client},
		Lockout:     Rule{Max: 10, Window: 15 * time.Minute, For: 15 * time.Minute},
		Fatigue:     Rule{Max: 5, Window: 10 * time.Minute, For: 30 * time.Minute},
		PromptLimit: Rule{Max: 30, Window: 10 * time.Minute},
	}
	r.journal.users, r.journal.codes, r.journal.follow = r.users, r.codes, r.Engine.Apply
	r.run()
	t.Cleanup(r.finish)
	return r
}

func (r *rig) run() {
	ctx, stop := context.WithCancel(r.t.Context())
	r.stop = stop
	go r.Pending.Run(ctx)
	go r.Refusals.Run(ctx)
}

// rest lets days pass in which no login waits. What runs once a second would have
// nothing to do and take seconds of processor time, and stands still.
func (r *rig) rest(d time.Duration) {
	r.stop()
	time.Sleep(d)
	r.run()
}

func (r *rig) newClient(name, group string) *mfa.Client {
	return &mfa.Client{
		Name: name, Group: group, Prompts: true, ShowsMessage: true,
		Primary: r.primary, Abilities: r.primary.Abilities(), Pusher: r.phone, PushAbilities: mfa.PushAbilities{Amender: r.phone},
		Join: true, RequireUserMatch: true,
		PushTimeout: 55 * time.Second, ChallengeTTL: 3 * time.Minute, RejectDelay: time.Second,
		OnPrimaryError: mfa.Discard, OnMFAError: mfa.Discard,
	}
}

func (r *rig) finish() {
	r.Pending.Close(context.Background())
	r.stop()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.answers {
		a.check(r)
	}
	r.journal.check(r.t, r.phone)
	p := r.Pending
	if n := len(p.logins) + len(p.peers) + len(p.states) + len(p.clients); n != 0 {
		r.t.Errorf("left in the tables: logins %d peers %d states %d clients %d",
			len(p.logins), len(p.peers), len(p.states), len(p.clients))
	}
}

// request is what alice's VPN client sends from home with the right password,
// over a NAS that signs.
func (r *rig) request(user string) *mfa.Request {
	return &mfa.Request{
		Received: time.Now(), Client: r.client, Source: "192.0.2.1:40000", Signed: true,
		User: mfa.NameOf(user), Cred: mfa.Password("right"), EndUser: "198.51.100.7",
	}
}

// mschap is the same login by MS-CHAPv2; id tells whose keys an answer carries.
func (r *rig) mschap(user string, id byte) *mfa.Request {
	q := r.request(user)
	q.Cred = mfa.MSCHAPv2{Ident: id}
	return q
}

// answer is what became of one request.
type answer struct {
	t        *testing.T
	rig      *rig
	req      *mfa.Request
	mu       sync.Mutex
	got      []mfa.Decision
	panicked bool
}

// dialogs opens n, each from another address.
func (r *rig) dialogs(n int) (all []*answer) {
	for i := range n {
		q := r.request("bob")
		q.EndUser = fmt.Sprint("198.51.100.", i)
		a := r.send(q)
		a.want(mfa.Challenge, "")
		all = append(all, a)
	}
	return all
}

// start sends a request on a goroutine of its own, as radius does.
func (r *rig) start(q *mfa.Request) *answer {
	q.Dialog = q.Client.Dialog(mfa.ProtocolOf(q.Cred)) // as radius does
	a := &answer{t: r.t, rig: r, req: q}
	r.mu.Lock()
	r.answers = append(r.answers, a)
	r.mu.Unlock()
	go func() {
		defer func() {
			if recover() != nil {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.panicked = true
			}
		}()
		r.Authenticate(r.t.Context(), q, a.reply)
	}()
	return a
}

// send sends a request and waits until nothing moves any more.
func (r *rig) send(q *mfa.Request) *answer {
	a := r.start(q)
	synctest.Wait()
	return a
}

// sendAnswer answers the challenge in a.
func (r *rig) sendAnswer(a *answer, text string) *answer { return r.send(r.reply(a, text)) }

func (r *rig) reply(a *answer, text string) *mfa.Request {
	a.t.Helper()
	d := a.want(mfa.Challenge, "")
	q := r.request(a.req.User.String())
	q.Client, q.State, q.Cred = a.req.Client, d.State, mfa.Password(text)
	return q
}

func (a *answer) reply(d mfa.Decision) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = append(a.got, d)
	if d.Outcome == mfa.Accept && !a.rig.journal.accepted(d.LoginID) {
		a.t.Errorf("%s was let in before the event of login %s was on disk", a.req.User, d.LoginID)
	}
}

func (a *answer) waits() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.got) == 0
}

// decision returns the answer; waiting is the outcome "waits".
func (a *answer) decision() (mfa.Decision, string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.got) == 0 {
		return mfa.Decision{}, "waits"
	}
	return a.got[0], a.got[0].Outcome.String() + " " + string(a.got[0].Reason)
}

// want ends the test unless the answer has this outcome and reason ("": any).
func (a *answer) want(o mfa.Outcome, reason mfa.Reason) mfa.Decision {
	a.t.Helper()
	d, got := a.decision()
	if a.waits() || d.Outcome != o || reason != "" && d.Reason != reason {
		a.t.Fatalf("answer to %s: got %s, want %s %s", a.req.User, got, o, reason)
	}
	return d
}

func (a *answer) wantWaits() {
	a.t.Helper()
	if _, got := a.decision(); got != "waits" {
		a.t.Fatalf("answer to %s: got %s, want none yet", a.req.User, got)
	}
}

func (a *answer) check(r *rig) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.got) > 1 || len(a.got) == 0 && !a.panicked {
		r.t.Errorf("request of %s was replied to %d times: %v", a.req.User, len(a.got), a.got)
	}
	for _, d := range a.got {
		if told := accountMessages[d.Reason]; d.Outcome == mfa.Reject && d.Message != messageRejected && (told == "" || d.Message != told) {
			r.t.Errorf("a rejection (%s) says %q", d.Reason, d.Message)
		}
		if d.Outcome != mfa.Accept && (d.Identity != nil || d.Method != "") {
			r.t.Errorf("%s %s carries %v by %q; want no identity, no method", d.Outcome, d.Reason, d.Identity, d.Method)
		}
		if d.Outcome == mfa.Accept {
			a.checkAccept(r, &d)
		}
		if asks := d.Ask; (d.Outcome == mfa.Challenge) != (asks.Kind != "") || (asks.Kind != "") != asks.Expires.After(a.req.Received) ||
			(asks.Kind == mfa.AskNumber) != (asks.Number != "") || !strings.Contains(d.Message, asks.Number) {
			r.t.Errorf("%s %q asks for %+v", d.Outcome, d.Message, asks)
		}
	}
}

// checkAccept: an Accept says who was let in and by which factor, as the event does.
func (a *answer) checkAccept(r *rig, d *mfa.Decision) {
	if d.Identity == nil || d.Identity.Name.IsZero() {
		r.t.Errorf("an Accept to %s has the identity %v; want Identity set, Name set", a.req.User, d.Identity)
	}
	for _, ev := range r.journal.all() {
		if ev.ID != d.LoginID || ev.Kind != mfa.EventLogin {
			continue
		}
		want := mfa.MethodOTP
		switch {
		case ev.Plan == mfa.PlanNone:
			want = ""
		case ev.Method == "push", ev.Method == "number", ev.Method == "code":
			want = mfa.MethodPush
		}
		if d.Method != want {
			r.t.Errorf("an Accept to %s came by %q, and its event by %q", a.req.User, d.Method, ev.Method)
		}
	}
}

// primary knows the password "right" of every user but no name.
type primary struct {
	mu     sync.Mutex
	calls  int
	seen   []string // passwords
	groups []string
	fail   func() error
	names  map[string]string // that users are known by beside the canonical ones
}

var _ mfa.PasswordChecker = (*primary)(nil)

func (p *primary) Abilities() mfa.Abilities { return mfa.Abilities{Finder: p, FromMemory: true} }

// use makes p the primary of the rig's client.
func (r *rig) use(p mfa.PasswordChecker) { r.client.Primary, r.client.Abilities = p, p.Abilities() }

func (p *primary) Check(_ context.Context, who mfa.Name, cred mfa.Credential) (mfa.Identity, error) {
	user := who.Sent()
	p.mu.Lock()
	p.calls++
	if w, ok := cred.(mfa.Password); ok {
		p.seen = append(p.seen, string(w))
	}
	p.mu.Unlock()
	name, groups, err := p.ask(user)
	if err != nil {
		return mfa.Identity{}, err
	}
	if canonical, ok := p.names[name]; ok {
		name = canonical
	}
	id := mfa.Identity{Name: mfa.NameOf(strings.ToLower(name)), Known: true, Groups: mfa.GroupsOf(groups...), Attributes: []mfa.Attribute{{Type: 11, Value: []byte("of " + name)}}}
	switch c := cred.(type) {
	case mfa.Password:
		if c == "right" {
			return id, nil
		}
	case mfa.MSCHAPv2:
		if c.NTResponse[0] == 0 {
			id.MSCHAP = &mfa.MSCHAPKeys{Name: user, NTHashHash: [16]byte{c.Ident}}
			return id, nil
		}
	}
	return mfa.Identity{}, &mfa.UserError{User: id.Name, Err: fmt.Errorf("password of %q: %w", user, mfa.ErrRejected)}
}

// ask returns the user's name without its domain, and the groups.
func (p *primary) ask(user string) (name string, groups []string, err error) {
	p.mu.Lock()
	fail, groups := p.fail, p.groups
	p.mu.Unlock()
	if fail != nil {
		err = fail()
	}
	return user[strings.IndexByte(user, '\\')+1:], groups, err
}

// Find knows every user but "nobody", and finds "unsure" without knowing them.
func (p *primary) Find(_ context.Context, who mfa.Name) (mfa.Identity, error) {
	user := who.Sent()
	name, groups, err := p.ask(user)
	if err != nil {
		return mfa.Identity{}, err
	}
	if canonical, ok := p.names[name]; ok {
		name = canonical
	}
	if name == "nobody" {
		return mfa.Identity{}, fmt.Errorf("no user %q: %w", user, mfa.ErrRejected)
	}
	return mfa.Identity{
		Name: mfa.NameOf(strings.ToLower(name)), Known: name != "unsure", Disabled: name == "gone", Groups: mfa.GroupsOf(groups...),
		Attributes: []mfa.Attribute{{Type: 27, Value: []byte("of " + name)}},
	}, nil
}

// users is the directory.
type users struct {
	mu   sync.Mutex
	m    map[string]mfa.User
	gone map[string]bool // devices that were removed
	fail func() error

	registeredFail error
}

func (u *users) setRegisteredFail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.registeredFail = err
}

func (u *users) Registered(_ context.Context, device string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone[device] {
		return mfa.ErrRejected
	}
	return u.registeredFail
}

func (u *users) User(ctx context.Context, name mfa.Name) (mfa.User, error) {
	if err := ctx.Err(); err != nil {
		return mfa.User{}, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.fail != nil {
		if err := u.fail(); err != nil {
			return mfa.User{}, err
		}
	}
	if x, ok := u.m[name.Key().String()]; ok {
		return x, nil
	}
	return mfa.User{Name: name}, nil
}

// version is how many things have happened to a user, and next counts one more.
func (u *users) version(name mfa.Name) mfa.Version {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.m[name.Key().String()].Version
}

func (u *users) next(name mfa.Name) {
	u.set(name.Key().String(), func(*mfa.User) {})
}

func (u *users) setFail(f func() error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fail = f
}

func (u *users) remove(device string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.gone = map[string]bool{device: true}
}

func (u *users) set(name string, change func(*mfa.User)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	x := u.m[name]
	x.Name = mfa.NameOf(name)
	x.Version.N++
	change(&x)
	u.m[name] = x
}

// journal keeps the events in memory, and is the log of each user.
type journal struct {
	users  *users
	codes  *codes
	follow func(mfa.Event)

	mu     sync.Mutex
	log    []mfa.Event // the steps of logins too
	before func()      // others come first; nil: nobody does
	fail   func(mfa.Event) error
	slow   chan struct{} // if not nil, each commit takes one
	broken bool          // an event was refused: not every login can have one
}

func (j *journal) Record(ctx context.Context, ev mfa.Event) error {
	if ev.Outcome == mfa.Accept && ev.Kind == mfa.EventLogin {
		panic("an Accept that was not appended")
	}
	return j.commit(ctx, ev, nil)
}

// Append is the ledger of one node, which is never behind: what the rig changes of a user
// comes with a version of its own.
func (j *journal) Append(ctx context.Context, base mfa.Version, ev mfa.Event) error {
	return j.commit(ctx, ev, &base)
}

func (j *journal) commit(ctx context.Context, ev mfa.Event, base *mfa.Version) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if j.slow != nil {
		select {
		case <-j.slow:
		case <-ctx.Done(): // it stays queued
			go func() {
				<-j.slow
				_ = j.write(ev, base)
			}()
			return ctx.Err()
		}
	}
	if base != nil && j.before != nil {
		j.before()
	}
	if err := j.write(ev, base); err != nil || base == nil {
		return err
	}
	j.codes.use(ev)
	j.follow(ev)
	j.users.next(ev.User)
	return nil
}

func (j *journal) write(ev mfa.Event, base *mfa.Version) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if base != nil && *base != j.users.version(ev.User) {
		return mfa.ErrStale
	}
	if j.fail != nil {
		j.broken = true
		if err := j.fail(ev); err != nil {
			return err
		}
	}
	j.log = append(j.log, ev)
	return nil
}

func (j *journal) setFail(f func(mfa.Event) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fail = f
}

func (j *journal) accepted(id string) bool {
	return slices.ContainsFunc(j.all(), func(ev mfa.Event) bool {
		return ev.ID == id && ev.Outcome == mfa.Accept && ev.Kind == mfa.EventLogin
	})
}

// all returns the lines of the trail, and entries the steps of logins too.
func (j *journal) all() []mfa.Event {
	return slices.DeleteFunc(j.entries(), func(ev mfa.Event) bool { return ev.Kind.IsStep() })
}

func (j *journal) entries() []mfa.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.log)
}

// prompts are the open ones, with those of before.
func (j *journal) prompts(before ...mfa.OpenPrompt) []mfa.OpenPrompt {
	open := make(map[string]mfa.OpenPrompt)
	for _, p := range before {
		open[p.ID] = p
	}
	for _, ev := range j.entries() {
		switch {
		case ev.Prompt != nil:
			open[ev.ID] = *ev.Prompt
		case ev.Kind == mfa.EventLogin || ev.Kind == mfa.EventUnclaimed:
			delete(open, ev.ID)
		}
	}
	return slices.Collect(maps.Values(open))
}

// last returns the newest event.
func (j *journal) last(t *testing.T) mfa.Event {
	t.Helper()
	all := j.all()
	if len(all) == 0 {
		t.Fatal("got no event; want one")
	}
	return all[len(all)-1]
}

// count returns how many events have this reason.
func (j *journal) count(reason mfa.Reason) (n int) {
	for _, ev := range j.all() {
		if ev.Reason == reason {
			n++
		}
	}
	return n
}

func (j *journal) check(t *testing.T, f *phone) {
	seen := make(map[string]int)
	for _, ev := range j.all() {
		if seen[ev.ID]++; seen[ev.ID] > 1 {
			t.Errorf("login %s has %d events", ev.ID, seen[ev.ID])
		}
	}
	for _, p := range f.all() {
		if seen[p.ID] == 0 && !j.broken {
			t.Errorf("the prompt of login %s has no event", p.ID)
		}
	}
}

// codes knows one right code, which everybody may use once.
type codes struct {
	right string
	none  map[string]bool // users who have no code

	mu       sync.Mutex
	used     map[string]bool
	examined int
	slow     chan struct{} // if not nil, each code takes one before it is compared
	fail     func() error
	asked    func() // of each form; nil: nothing
}

func (c *codes) HasForm(who mfa.Name, answer string) bool {
	user := who.Sent()
	if c.asked != nil {
		c.asked()
	}
	return !c.none[user] && len(answer) == 6 && strings.Trim(answer, "0123456789") == ""
}

func (c *codes) CheckCode(ctx context.Context, who mfa.Name, code string) (mfa.Use, error) {
	user := who.Sent()
	if err := ctx.Err(); err != nil {
		return mfa.Use{}, err
	}
	c.mu.Lock()
	c.examined++
	slow, fail := c.slow, c.fail
	c.mu.Unlock()
	if slow != nil {
		<-slow
	}
	if fail != nil {
		if err := fail(); err != nil {
			return mfa.Use{}, err
		}
	}
	if code != c.right {
		return mfa.Use{}, mfa.ErrRejected
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used[user] {
		return mfa.Use{}, errors.Join(mfa.ErrRejected, mfa.ErrCodeUsed)
	}
	return mfa.Use{Method: "totp", Step: 42}, nil
}

// use uses up the code of an entry.
func (c *codes) use(ev mfa.Event) {
	if !ev.Used {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used == nil {
		c.used = make(map[string]bool)
	}
	c.used[ev.User.Sent()] = true
}

func (c *codes) tries() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.examined
}

var forEveryone = mfa.Feature{Enabled: true, Include: mfa.GroupsOf(mfa.AllUsers)}
