package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs f with a new rig and a clock of its own.
func bubble(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newRig(t)) })
}

// table runs each case as a subtest in a bubble of its own.
func table(t *testing.T, cases map[string]func(t *testing.T, r *rig)) {
	for name, f := range cases {
		t.Run(name, func(t *testing.T) { bubble(t, f) })
	}
}

func TestPasscode(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"right": func(t *testing.T, r *rig) {
			a := r.send(r.request("bob"))
			d := a.want(mfa.Challenge, mfa.ReasonDefaultOTP)
			if d.State == "" || d.Message != messageEnterCode || !d.Ask.Echo {
				t.Errorf("challenge: %+v", d)
			}
			time.Sleep(7 * time.Second)
			d = r.sendAnswer(a, "123456").want(mfa.Accept, mfa.ReasonDefaultOTP)
			if len(d.Identity.Attributes) != 1 || string(d.Identity.Attributes[0].Value) != "of bob" {
				t.Errorf("attributes: %v", d.Identity.Attributes)
			}
			ev := r.journal.last(t)
			if ev.Outcome != mfa.Accept || ev.Plan != mfa.PlanOTP || ev.Method != "totp" || ev.Factor != 7*time.Second || ev.User.String() != "bob" || ev.EndUser == "" {
				t.Errorf("event: %+v", ev)
			}
			if r.primary.calls != 1 {
				t.Errorf("the primary was asked %d times; want calls 1", r.primary.calls)
			}
		},
		"wrong three times": func(t *testing.T, r *rig) {
			a := r.send(r.request("bob"))
			first := a.want(mfa.Challenge, "").State
			for i := range 2 {
				a = r.sendAnswer(a, fmt.Sprintf("00000%d", i))
				if d := a.want(mfa.Challenge, ""); d.State == first || d.Message != messageWrongCode {
					t.Errorf("challenge: %+v", d)
				}
			}
			last := a.want(mfa.Challenge, "").State
			r.sendAnswer(a, "000009").want(mfa.Reject, mfa.ReasonWrongCode)
			if ev := r.journal.last(t); ev.Tries != 3 || !strings.HasSuffix(ev.Text, "OathCodeIncorrect") {
				t.Errorf("event: got %+v; want Tries 3, \"OathCodeIncorrect\" last", ev)
			}
			for _, state := range []string{first, last} {
				q := r.request("bob")
				q.State, q.Cred = state, mfa.Password("123456")
				r.send(q).want(mfa.Reject, mfa.ReasonStateUnknown)
			}
		},
		"wrong, then right": func(t *testing.T, r *rig) {
			a := r.sendAnswer(r.send(r.request("bob")), "000000")
			r.sendAnswer(a, "123456").want(mfa.Accept, "")
			if ev := r.journal.last(t); ev.Tries != 1 {
				t.Errorf("tries: got %d; want 1", ev.Tries)
			}
		},
		"used": func(t *testing.T, r *rig) {
			r.sendAnswer(r.send(r.request("bob")), "123456").want(mfa.Accept, "")
			r.sendAnswer(r.send(r.request("bob")), "123456").want(mfa.Reject, mfa.ReasonCodeUsed)
			if ev := r.journal.last(t); ev.Tries != 1 || !strings.HasSuffix(ev.Text, "OathCodeDuplicate") {
				t.Errorf("event: got %+v; want Tries 1, \"OathCodeDuplicate\" last", ev)
			}
		},
		"nobody answers": func(t *testing.T, r *rig) {
			a := r.send(r.request("bob"))
			time.Sleep(3*time.Minute + 2*time.Second)
			if r.Pending.Len() != 0 || r.journal.count(mfa.ReasonChallengeExpired) != 1 {
				t.Errorf("%d wait, events %v", r.Pending.Len(), r.journal.all())
			}
			r.sendAnswer(a, "123456").want(mfa.Reject, mfa.ReasonStateUnknown)
		},
		"expired, and not yet swept": func(t *testing.T, r *rig) {
			a := r.send(r.request("bob"))
			q := r.reply(a, "123456")
			q.Received = time.Now().Add(3 * time.Minute)
			r.send(q).want(mfa.Reject, mfa.ReasonStateUnknown)
			if r.codes.tries() != 0 {
				t.Error("got the code examined; want it not examined")
			}
		},
		"blocked between challenge and answer": func(t *testing.T, r *rig) {
			a := r.send(r.request("bob"))
			r.users.set("bob", func(u *mfa.User) { u.Blocked = true })
			r.sendAnswer(a, "123456").want(mfa.Reject, mfa.ReasonUserBlocked)
			if r.codes.tries() != 0 {
				t.Error("got the code examined; want it not examined")
			}
		},
		"the same origin dials again": func(t *testing.T, r *rig) {
			old := r.send(r.request("bob"))
			a := r.send(r.request("bob"))
			if r.Pending.Len() != 1 || r.journal.count(mfa.ReasonSuperseded) != 1 {
				t.Errorf("%d wait, events %v", r.Pending.Len(), r.journal.all())
			}
			r.sendAnswer(old, "123456").want(mfa.Reject, mfa.ReasonStateUnknown)
			r.sendAnswer(a, "123456").want(mfa.Accept, "")
		},
		"origins that cannot be told apart do not end each other's dialogs": func(t *testing.T, r *rig) {
			var all []*answer
			for range 2 {
				q := r.request("bob")
				q.Signed = false
				all = append(all, r.send(q))
			}
			r.sendAnswer(all[0], "123456").want(mfa.Accept, "")
		},
		"by MS-CHAPv2": func(t *testing.T, r *rig) {
			r.send(r.mschap("bob", 1)).want(mfa.Reject, mfa.ReasonOTPUnsupported)
			if ev := r.journal.last(t); ev.Text != "Challenge requested in Authentication Ext for User bob" {
				t.Errorf("event text: got %q; want \"Challenge requested in Authentication Ext for User bob\"", ev.Text)
			}
		},
		"not by PAP": func(t *testing.T, r *rig) {
			q := r.reply(r.send(r.request("bob")), "")
			q.Cred = mfa.MSCHAPv2{}
			r.send(q).want(mfa.Reject, mfa.ReasonUnsupported)
		},
	})
}

// A State is worth nothing but to its recipient, and another's request
// does not use it up.
func TestState(t *testing.T) {
	tests := map[string]func(q *mfa.Request, r *rig){
		"another user":         func(q *mfa.Request, _ *rig) { q.User = mfa.NameOf("alice") },
		"another client group": func(q *mfa.Request, r *rig) { q.Client = r.newClient("mail", "mail") },
		"forged":               func(q *mfa.Request, _ *rig) { q.State = strings.Repeat("A", len(q.State)) },
		"cut":                  func(q *mfa.Request, _ *rig) { q.State = q.State[1:] },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				a := r.send(r.request("bob"))
				q := r.reply(a, "123456")
				change(q, r)
				r.send(q).want(mfa.Reject, mfa.ReasonStateUnknown)
				if r.codes.tries() != 0 || r.primary.calls != 1 {
					t.Errorf("got %d codes examined, %d passwords; want tries 0, calls 1", r.codes.tries(), r.primary.calls)
				}
				r.sendAnswer(a, "123456").want(mfa.Accept, "")
			})
		})
	}
	t.Run("another client of the group", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			q := r.reply(r.send(r.request("bob")), "123456")
			q.Client = r.newClient("vpn2", "edge")
			r.send(q).want(mfa.Accept, "")
		})
	})
	t.Run("a password never reaches the primary", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			q := r.request("bob")
			q.State, q.Cred = "UNKNOWN", mfa.Password("hunter2")
			r.send(q).want(mfa.Reject, mfa.ReasonStateUnknown)
			r.sendAnswer(r.send(r.request("bob")), "hunter3")
			if slices.Contains(r.primary.seen, "hunter2") || slices.Contains(r.primary.seen, "hunter3") {
				t.Errorf("the primary saw %q; want no \"hunter2\", no \"hunter3\"", r.primary.seen)
			}
		})
	})
}

// The same answer under another identifier, while the first is examined, is one
// examination with one decision.
func TestSameAnswerTwice(t *testing.T) {
	for code, want := range map[string]mfa.Outcome{"123456": mfa.Accept, "000000": mfa.Challenge} {
		t.Run(want.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				a := r.send(r.request("bob"))
				r.codes.slow = make(chan struct{})
				first, again := r.send(r.reply(a, code)), r.send(r.reply(a, code))
				other := r.send(r.reply(a, "654321"))
				first.wantWaits()
				again.wantWaits()
				other.want(mfa.Reject, mfa.ReasonStateUnknown)
				close(r.codes.slow)
				synctest.Wait()
				d1, d2 := first.want(want, ""), again.want(want, "")
				if d1.State != d2.State || r.codes.tries() != 1 {
					t.Errorf("states %q %q, %d codes examined; want State d2.State, tries 1", d1.State, d2.State, r.codes.tries())
				}
				if w := r.Limits.codes.m[mfa.NameOf("bob").Key()]; want == mfa.Challenge && len(w.times) != 1 {
					t.Errorf("%d wrong codes are counted", len(w.times))
				}
			})
		})
	}
}

func TestFirstFactor(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"wrong": func(t *testing.T, r *rig) {
			q := r.request("bob")
			q.Cred = mfa.Password("wrong")
			d := r.send(q).want(mfa.Reject, mfa.ReasonWrongPassword)
			if d.Delay != time.Second || len(r.phone.all()) != 0 {
				t.Errorf("delay %s", d.Delay)
			}
		},
		"empty": func(t *testing.T, r *rig) {
			q := r.request("bob")
			q.Cred = mfa.Password("")
			r.send(q).want(mfa.Reject, mfa.ReasonEmptyPassword)
			if r.primary.calls != 0 {
				t.Error("got an empty password at the primary; want none")
			}
		},
		"unsupported": func(t *testing.T, r *rig) {
			for _, cred := range []mfa.Credential{mfa.Unsupported{What: "chap"}, mfa.NoCredential{}, nil} {
				q := r.request("bob")
				q.Cred = cred
				r.send(q).want(mfa.Reject, mfa.ReasonUnsupported)
			}
			if r.primary.calls != 0 {
				t.Error("got the password at the primary; want it kept from there")
			}
		},
		"this checker cannot": func(t *testing.T, r *rig) {
			r.primary.fail = func() error { return fmt.Errorf("no hash: %w", mfa.ErrUnsupported) }
			r.send(r.mschap("bob", 1)).want(mfa.Reject, mfa.ReasonUnsupported)
		},
		"no answer": func(t *testing.T, r *rig) {
			r.primary.fail = func() error { return errors.New("down") }
			r.send(r.request("bob")).want(mfa.Discard, mfa.ReasonPrimaryError)
			r.client.OnPrimaryError = mfa.Reject
			r.send(r.request("bob")).want(mfa.Reject, mfa.ReasonPrimaryError)
			r.client.OnPrimaryError = mfa.Accept
			r.send(r.request("bob")).want(mfa.Reject, mfa.ReasonPrimaryError)
		},
		"no name": func(t *testing.T, r *rig) {
			r.client.ExemptClient = true
			r.send(r.request("")).want(mfa.Reject, mfa.ReasonInternalError)
		},
		"slower and slower, and never locked": func(t *testing.T, r *rig) {
			var got []time.Duration
			for range slower {
				got = append(got, r.guess(r.wrong("bob")))
			}
			if !slices.Equal(got, slower) {
				t.Errorf("delays %d, want %d", got, slower)
			}
			r.sendAnswer(r.send(r.request("bob")), "123456").want(mfa.Accept, "")
		},
		"exempt": func(t *testing.T, r *rig) {
			r.client.ExemptClient = true
			d := r.send(r.mschap("alice", 9)).want(mfa.Accept, mfa.ReasonExemptClient)
			if d.Identity.MSCHAP == nil || d.Identity.MSCHAP.NTHashHash[0] != 9 {
				t.Errorf("keys: got %v; want MSCHAP set, NTHashHash[0] 9", d.Identity.MSCHAP)
			}
			r.prompted(0)
		},
	})
}

func TestLockout(t *testing.T) {
	// guess brings n wrong codes, three a login.
	guess := func(r *rig, n int) (last *answer) {
		for n > 0 {
			last = r.send(r.request("bob"))
			for i := 0; i < 3 && n > 0; i, n = i+1, n-1 {
				last = r.sendAnswer(last, "000000")
			}
		}
		return last
	}
	table(t, map[string]func(*testing.T, *rig){
		"ten wrong codes lock the codes": func(t *testing.T, r *rig) {
			guess(r, 9)
			a := r.send(r.request("bob"))
			r.sendAnswer(a, "000000").want(mfa.Reject, mfa.ReasonCodesLocked) // the tenth was examined, and ends it
			if ev := r.journal.last(t); ev.Tries != 1 || ev.WrongCodes == nil || ev.WrongCodes.Row != 10 {
				t.Errorf("event: got %+v; want Tries 1, WrongCodes set, Row 10", ev)
			}
			r.sendAnswer(a, "123456").want(mfa.Reject, "")
			r.send(r.request("bob")).want(mfa.Reject, mfa.ReasonCodesLocked)
			if r.codes.tries() != 10 {
				t.Errorf("got %d codes were examined; want 10", r.codes.tries())
			}
			time.Sleep(15*time.Minute + time.Second)
			r.sendAnswer(r.send(r.request("bob")), "123456").want(mfa.Accept, "")
		},
		"nine do not": func(t *testing.T, r *rig) {
			guess(r, 9)
			r.sendAnswer(r.send(r.request("bob")), "123456").want(mfa.Accept, "")
		},
		"a right code is not counted": func(t *testing.T, r *rig) {
			guess(r, 9)
			r.sendAnswer(r.send(r.request("bob")), "123456").want(mfa.Accept, "")
			if n := len(r.Limits.codes.m[mfa.NameOf("bob").Key()].times); n != 9 {
				t.Errorf("got %d are counted; want 9", n)
			}
		},
		"an administrator forgives": func(t *testing.T, r *rig) {
			guess(r, 10)
			r.send(r.request("bob")).want(mfa.Reject, mfa.ReasonCodesLocked)
			time.Sleep(time.Second)
			r.users.set("bob", func(u *mfa.User) { u.Unblocked = time.Now() })
			time.Sleep(time.Second)
			r.sendAnswer(r.send(r.request("bob")), "123456").want(mfa.Accept, "")
			guess(r, 9)
		},
		"what left the window is forgotten": func(t *testing.T, r *rig) {
			guess(r, 9)
			time.Sleep(16 * time.Minute)
			guess(r, 9)
			r.sendAnswer(r.send(r.request("bob")), "123456").want(mfa.Accept, "")
		},
		"the password stays open to whom it needs no code": func(t *testing.T, r *rig) {
			guess(r, 10)
			r.users.set("bob", func(u *mfa.User) { u.Devices = 1 })
			a := r.send(r.request("bob"))
			r.prompted(1).decides(nil)
			a.want(mfa.Accept, mfa.ReasonApproveDeny)
		},
	})
}

// TestGuessesInParallel: anyone who knows the password opens 2,000 logins at once
// and answers each.
func TestGuessesInParallel(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.codes.slow = make(chan struct{})
		var logins []*answer
		for i := range 2000 {
			q := r.request("bob")
			q.EndUser = fmt.Sprint(i)
			logins = append(logins, r.start(q))
		}
		synctest.Wait()
		var open []*answer
		for _, a := range logins {
			if d, _ := a.decision(); d.Outcome == mfa.Challenge && r.Pending.states[d.State] != nil { // the others gave way
				open = append(open, a)
			}
		}
		if len(open) != maxDialogs || r.Pending.Len() != maxDialogs {
			t.Fatalf("%d logins are open, want %d", len(open), maxDialogs)
		}
		close(r.codes.slow)
		for round := range 10 {
			var next []*answer
			for i := range 2000 {
				next = append(next, r.start(r.reply(open[i%len(open)], fmt.Sprintf("%06d", 200000+2000*round+i))))
			}
			synctest.Wait()
			open = open[:0]
			for _, a := range next {
				if d, _ := a.decision(); d.Outcome == mfa.Challenge {
					open = append(open, a)
				}
			}
			for i := 0; len(open) < 3; i++ { // new logins for those that three wrong codes ended
				q := r.request("bob")
				q.EndUser = fmt.Sprint(round, i)
				a := r.send(q)
				if d, _ := a.decision(); d.Outcome != mfa.Challenge {
					break
				}
				open = append(open, a)
			}
			if len(open) == 0 {
				break
			}
		}
		if n := r.codes.tries(); n != r.Lockout.Max {
			t.Errorf("%d codes were examined, want %d", n, r.Lockout.Max)
		}
		r.send(r.request("bob")).want(mfa.Reject, mfa.ReasonCodesLocked)
	})
}

// A login that carries all a login can goes through JSON and back unchanged, so
// that another node can carry it, and holds nothing that comes from a password.
func TestLoginIsPlainData(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.client.NumberInPrompt = true
		r.primary.groups = []string{"staff"}
		const secret = "right"
		r.send(r.request("alice"))
		q := r.mschap("alice", 0xAB)
		r.send(q)
		var w *pendingLogin
		for _, x := range r.Pending.all() {
			w = x
		}
		b, err := json.Marshal(&w.Login)
		if err != nil {
			t.Fatal(err)
		}
		var back Login
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		want := w.Login
		for _, x := range []*time.Time{&want.Started, &want.Opened, &want.Until, &want.Expires} {
			*x = x.Round(0) // without the monotonic reading
		}
		want.Requests = slices.Clone(want.Requests)
		for i := range want.Requests {
			want.Requests[i].Time = want.Requests[i].Time.Round(0)
		}
		if again, _ := json.Marshal(&back); string(again) != string(b) || !sameTimes(&want, &back) || !reflect.DeepEqual(want, back) {
			t.Errorf("got  %+v\nwant %+v", back, want)
		}
		for _, f := range reflect.VisibleFields(reflect.TypeFor[Login]()) {
			if reflect.ValueOf(want).FieldByIndex(f.Index).IsZero() {
				switch f.Name {
				case "Wrong", "Rounds", "AskedGone": // none yet
				case "Text": // only where the user is not asked
				case "Claimed", "HideClient", "HidePlace": // see TestHiddenFromDevices
				case "Node": // see TestNotifiesAgain
				default:
					t.Errorf("the test sets no %s", f.Name)
				}
			}
		}
		if w.Identity.MSCHAP != nil || strings.Contains(string(b), secret) {
			t.Errorf("a login holds what comes from a password: %s", b)
		}
	})
}

// sameTimes compares and then equalises, because a location is a pointer.
func sameTimes(a, b *Login) bool {
	same := a.Started.Equal(b.Started) && a.Opened.Equal(b.Opened) && a.Until.Equal(b.Until) && a.Expires.Equal(b.Expires)
	b.Started, b.Opened, b.Until, b.Expires = a.Started, a.Opened, a.Until, a.Expires
	for i := range b.Requests {
		same = same && a.Requests[i].Time.Equal(b.Requests[i].Time)
		b.Requests[i].Time = a.Requests[i].Time
	}
	return same
}

func TestSecretsDoNotPrint(t *testing.T) {
	p := &waiter{Request: &mfa.Request{Cred: mfa.Password("hunter2")}, identity: &mfa.Identity{MSCHAP: &mfa.MSCHAPKeys{NTHashHash: [16]byte{0xDE, 0xAD}}}}
	for _, s := range []string{
		fmt.Sprintf("%v %+v %#v %s %q", p.Cred, p.Cred, p.Cred, p.Cred, p.Cred),
		fmt.Sprintf("%v %+v %#v", *p.identity, *p.identity, *p.identity),
		fmt.Sprintf("%v %+v", p.Request, p.Request),
	} {
		if strings.Contains(s, "hunter2") || strings.Contains(strings.ToLower(s), "0xde") || strings.Contains(s, "222 173") {
			t.Errorf("a secret prints: got %s; want no \"hunter2\" in it, no \"0xde\" in it, no \"222 173\" in it", s)
		}
	}
	if b, err := json.Marshal(p.Cred); err != nil || string(b) != `"[redacted]"` {
		t.Errorf("%s %v", b, err)
	}
}

// The packet's context ends; what it began goes on, and is committed.
func TestContextOfPacketEnds(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		var got mfa.Decision
		r.Authenticate(ctx, r.request("alice"), func(d mfa.Decision) { got = d })
		cancel()
		synctest.Wait()
		g := r.prompted(1)
		if g.withdrawn() {
			t.Fatal("got the prompt withdrawn with the packet's context; want it open")
		}
		g.decides(nil)
		if got.Outcome != mfa.Accept {
			t.Errorf("got %v", got)
		}
		r.Authenticate(ctx, r.reply(r.send(r.request("bob")), "123456"), func(d mfa.Decision) { got = d })
		if got.Outcome != mfa.Accept || got.Reason != mfa.ReasonDefaultOTP {
			t.Errorf("got %v", got)
		}
	})
}
