package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/radmatch/radmatch/cmd/radmatch/explain"
	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/cmd/radmatch/site"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/radius/profile"
)

// Every login of every script goes through explain too. The program nas asks explain
// before it sends the first request of a login, and notes the answer; when the script
// has ended, each note is compared with the event of that login. No script has to ask
// for it, and none can leave it out.

// foretold is what explain said of one request before it was sent.
type foretold struct {
	Sent    time.Time
	User    string
	Port    string // that the request came from
	Data    string // data_dir
	Failed  string // why explain gave no answer
	Clients map[string]foretoldLogin
}

// foretoldLogin is what explain said of it at one client.
type foretoldLogin struct {
	Plan    mfa.Plan
	Reason  mfa.Reason
	Refused mfa.Reason
	Note    string
}

// foretoldFile is where the notes of a script are, in its folder.
const foretoldFile = "foretold.json"

// foretell asks explain about a request with these attributes. A directory that hangs
// must not keep the request back for long.
func foretell(attributes string) foretold {
	f := foretold{Sent: time.Now(), User: attributeIn(attributes, "User-Name"), Clients: map[string]foretoldLogin{}}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := f.explain(ctx, attributes); err != nil {
		f.Failed = err.Error()
	}
	return f
}

func (f *foretold) explain(ctx context.Context, attributes string) error {
	file := os.Getenv(site.EnvConfig)
	if file == "" {
		file = "radmatch.yaml"
	}
	cfg, st, err := (&site.Site{ConfigFile: file}).OpenConfigured(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	if f.Data, err = filepath.Abs(cfg.DataDir); err != nil {
		return err
	}
	x, err := explain.New(ctx, cfg, st, f.User)
	if err != nil {
		return err
	}
	defer x.Close()
	for i := range cfg.Clients {
		c := &cfg.Clients[i]
		if x.Address, err = addressIn(attributes, c); err != nil {
			return err
		}
		e, err := x.Client(ctx, c)
		if err != nil {
			return err
		}
		l := foretoldLogin{Refused: e.Refused, Note: e.Note}
		if w := wayOf(e, c, attributes); w != nil {
			l.Plan, l.Reason = w.Plan, w.Reason
		} else if e.Note == "" && e.Refused == "" {
			l.Note = "explain has no such way to sign in"
		}
		f.Clients[c.Name] = l
	}
	return nil
}

// attributeIn returns the value of an attribute as radclient reads it, or nothing.
func attributeIn(attributes, name string) string {
	m := regexp.MustCompile(`(?m)(?:^|,)\s*` + name + `\s*:?=\s*(?:"((?:[^"\\]|\\.)*)"|([^",\n]*))`).FindStringSubmatch(attributes)
	if m == nil {
		return ""
	}
	return regexp.MustCompile(`\\(.)`).ReplaceAllString(m[1], "$1") + strings.TrimSpace(m[2])
}

// addressIn is the address of the user as a client would bring it with a signed request.
func addressIn(attributes string, c *config.Client) (addr netip.Addr, err error) {
	if !strings.Contains(attributes, "Message-Authenticator") {
		return addr, nil
	}
	p, err := providers.NewProfile(c)
	if err != nil {
		return addr, err
	}
	for _, field := range p.AddressAttribute {
		if a, err := netip.ParseAddr(attributeIn(attributes, field.String())); err == nil {
			return a, nil
		}
	}
	return addr, nil
}

// passcodeForm is what a passcode or a pass looks like.
var passcodeForm = regexp.MustCompile(`^(\d{6,8}|[[:alnum:]]{5}-[[:alnum:]]{5})$`)

// wayOf picks the way to sign in that a request with these attributes takes; nil: none
// that explain lists.
func wayOf(e *explain.Report, c *config.Client, attributes string) *explain.Login {
	password, way := attributeIn(attributes, "User-Password"), "no password"
	switch {
	case strings.Contains(attributes, "MS-CHAP2-Response"):
		way = "MS-CHAPv2"
	case strings.Contains(attributes, "User-Password"):
		way = "PAP"
	}
	appended := false
	policy := &mfa.Client{Append: mfa.AppendStyle(c.MFA.Append), AppendDelimiter: c.MFA.AppendDelimiter}
	for _, tail := range policy.Splits(password) {
		appended = appended || passcodeForm.MatchString(tail)
	}
	if parts := strings.Split(password, ":"); staticChallenge(c) && len(parts) == 3 && parts[0] == "SCRV1" {
		answer, err := base64.StdEncoding.DecodeString(parts[2])
		appended = err == nil && passcodeForm.Match(answer)
	}
	for _, name := range []string{way + " with a passcode", way} {
		i := slices.IndexFunc(e.Logins, func(l explain.Login) bool { return l.Credential == name })
		if i >= 0 && (appended || name == way) {
			return &e.Logins[i]
		}
	}
	return nil
}

// staticChallenge reports whether the device of a client asks for password and passcode
// at once.
func staticChallenge(c *config.Client) bool {
	p, err := profile.Lookup(c.Profile)
	return err == nil && p.StaticChallenge
}

// note keeps what was foretold, with the port that radclient says it has sent from.
func (f *foretold) note(said string) {
	m := regexp.MustCompile(`Sent Access-Request Id \d+ from \S+:(\d+) to`).FindStringSubmatch(said)
	if m == nil {
		return
	}
	f.Port = m[1]
	line, err := json.Marshal(f)
	if err != nil {
		panic(err)
	}
	file, err := os.OpenFile(filepath.Join(os.Getenv("HOME"), foretoldFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	if _, err := file.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}

// explainTally counts over all scripts what was compared, and why the rest was not.
type explainTally struct {
	mu       sync.Mutex
	compared int
	plans    map[string]int
	skipped  map[string]int
}

var scriptExplain = explainTally{plans: map[string]int{}, skipped: map[string]int{}}

// compareForetold compares the notes of a script that has ended with its events.
func compareForetold(e *testscript.Env) {
	t := e.T().(testing.TB)
	text, err := os.ReadFile(filepath.Join(e.WorkDir, foretoldFile))
	if err != nil {
		return // it sends nothing
	}
	var trail []mfa.Event
	var read string
	for line := range strings.Lines(string(text)) {
		var f foretold
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Errorf("%s: got error %v; want none", foretoldFile, err)
			return
		}
		if f.Data != read && f.Data != "" {
			if trail, err = trailOf(f.Data); err != nil {
				t.Logf("%s: %v", foretoldFile, err) // the script has damaged it
			}
			read = f.Data
		}
		scriptExplain.compare(t, &f, f.eventIn(trail))
	}
}

// trailOf returns the logins in a database.
func trailOf(dir string) (list []mfa.Event, err error) {
	ctx := context.Background()
	st, err := store.Open(ctx, store.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	defer st.Close()
	entries, err := st.Events(ctx, store.Query{Limit: store.MaxLimit})
	for i := range entries {
		if entries[i].Event.Kind == mfa.EventLogin {
			list = append(list, entries[i].Event)
		}
	}
	return list, err
}

// eventIn returns the event of the login that the request opened, nil where it has
// opened none: it has joined another's, or nothing of it was recorded.
func (f *foretold) eventIn(trail []mfa.Event) *mfa.Event {
	for i := range trail {
		_, port, _ := net.SplitHostPort(trail[i].Source)
		if port == f.Port && trail[i].Time.After(f.Sent) {
			return &trail[i]
		}
	}
	return nil
}

// compare holds an event against what explain has said. What it leaves out, it leaves
// out by rule, and counts.
func (a *explainTally) compare(t testing.TB, f *foretold, ev *mfa.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	skip := func(why string) { a.skipped[why]++ }
	if f.Failed != "" {
		skip("explain fails")
		t.Logf("explain %s: %s", f.User, f.Failed)
		return
	}
	if ev == nil {
		skip("no event of its own")
		return
	}
	said, known := f.Clients[ev.Client]
	// Of a login that was refused after its plan, the reason says why it ended.
	planned := slices.Contains(planReasons, ev.Reason) && (ev.Plan == mfa.PlanDeny || ev.Outcome == mfa.Accept)
	switch {
	case !known:
		skip("the client has gone from the configuration")
	case said.Note != "":
		skip(said.Note)
	case ev.Plan == mfa.PlanDeny && !planned:
		skip("the login had no plan") // a wrong password, a prompt that was in the way
	case ev.Reason == mfa.ReasonRemembered:
		skip("an approval is remembered only by the server")
	case said.Refused != "":
		t.Errorf("login %s of %s at %s: %s (%s), explain said that the primary refuses: %s", ev.ID, f.User, ev.Client, ev.Plan, ev.Reason, said.Refused)
	case said.Plan != ev.Plan, planned && said.Reason != ev.Reason:
		t.Errorf("login %s of %s at %s: %s (%s), explain said %s (%s)", ev.ID, f.User, ev.Client, ev.Plan, ev.Reason, said.Plan, said.Reason)
	default:
		a.compared++
		a.plans[fmt.Sprintf("%s %s", said.Plan, said.Reason)]++
	}
}

// planReasons are those with which the plan table decides.
var planReasons = []mfa.Reason{
	mfa.ReasonUserBlocked, mfa.ReasonNotAllowed, mfa.ReasonUnsureName, mfa.ReasonExemptClient, mfa.ReasonExemptAddress,
	mfa.ReasonExemptGroup, mfa.ReasonBypass, mfa.ReasonRemembered, mfa.ReasonNotRegistered, mfa.ReasonNotRegisteredAllowed,
	mfa.ReasonTAP, mfa.ReasonDefaultOTP, mfa.ReasonOverrideOTP, mfa.ReasonPushBlocked, mfa.ReasonPushLimited,
	mfa.ReasonAppendedCode, mfa.ReasonNumberMatch, mfa.ReasonCodeMatch, mfa.ReasonMatchingRequired, mfa.ReasonApproveDeny,
	mfa.ReasonNoUsableMethod, mfa.ReasonOTPUnsupported,
}

// check fails where hardly anything was compared: then the comparison itself is broken.
func (a *explainTally) check(t *testing.T) {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.compared
	for _, n := range a.skipped {
		all += n
	}
	t.Logf("explain: %d of %d logins compared: %v; the others: %v", a.compared, all, a.plans, a.skipped)
	if all >= 100 && (a.compared < all/2 || len(a.plans) < 10) {
		t.Errorf("explain: of %d logins only %d were compared, of %d kinds", all, a.compared, len(a.plans))
	}
}
