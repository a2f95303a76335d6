package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius"
	"github.com/radmatch/radmatch/radius/caller"
	"github.com/radmatch/radmatch/radius/wire"
)

// loginMargin is how long `login` waits beyond push_timeout.
const loginMargin = 15 * time.Second

// maxRounds ends a login that the server never decides.
const maxRounds = 30

// login is one run of the command.
type loginCommand struct {
	user, client, server, endUser string
	stdin, mschap, json           bool
}

// run signs in, and shows each round.
func (l *loginCommand) run(ctx context.Context, s streams, cfg *config.Config) error {
	client, caller, err := l.reach(ctx, cfg)
	if err != nil {
		return err
	}
	dictionary, err := openDictionary(cfg)
	if err != nil {
		return &exitError{code: exitConfig, err: err, hint: "radmatch check"}
	}
	if l.endUser == "" {
		l.endUser = caller.Local.String()
	}
	q := &wire.Query{Code: wire.AccessRequest, User: l.user}
	from, err := wire.NASAttribute("Calling-Station-Id", l.endUser)
	if err != nil {
		return usageError("radmatch login --help", "%w", err)
	}
	q.Attributes = []mfa.Attribute{radius.ToolIdentifier("login"), from}
	ask := newAsker(s, l.stdin)
	password, err := ask.line(ctx, "Password: ", false)
	if err != nil {
		return usageError("radmatch login --help", "no password: %w", err)
	}
	q.Cred = mfa.Password(password)
	if l.mschap {
		if q.Cred, err = wire.NewMSCHAPv2(l.user, password); err != nil {
			return err
		}
	}
	if !l.json {
		fmt.Fprintf(s.stdout, "Access-Request to %s from %s as client %s\n", caller.Addr, caller.Local, client)
	}
	for range maxRounds {
		answer, took, err := exchange(ctx, caller, q)
		if err == nil {
			r := newRoundReport(&answer, took, dictionary)
			r.Client, r.Server, r.From = client, caller.Addr, caller.Local
			err = printRound(s, &r, l.json)
		}
		if err != nil {
			return err
		}
		switch answer.Code {
		case wire.AccessAccept:
			if cred, ok := q.Cred.(mfa.MSCHAPv2); ok {
				return answer.ProvesMSCHAPv2(cred, l.user, password)
			}
			return nil
		case wire.AccessChallenge:
			text, err := ask.line(ctx, "Answer: ", answer.Echo())
			if err != nil {
				return withHint("give the answer as another line of standard input", fmt.Errorf("the challenge is not answered: %w", err))
			}
			q.Cred, q.State = mfa.Password(text), answer.State()
		default:
			return &exitError{code: exitRejected}
		}
	}
	return fmt.Errorf("%d rounds and no decision", maxRounds)
}

// roundReport is one answer of the server, for machines.
type roundReport struct {
	Client     string            `json:"client"`
	Server     string            `json:"server"`
	From       netip.Addr        `json:"from"`
	Answer     string            `json:"answer"`
	Took       float64           `json:"took_ms"`
	Attributes []answerAttribute `json:"attributes"`

	took time.Duration
}

type answerAttribute struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// exchange sends one request.
func exchange(ctx context.Context, from *caller.Caller, q *wire.Query) (wire.Answer, time.Duration, error) {
	start := time.Now()
	answer, err := from.Exchange(ctx, q)
	if errors.Is(err, caller.ErrNoAnswer) {
		err = &exitError{code: exitNoAnswer, err: err, hint: "is the server running? Its log says why it discards a packet"}
	}
	return answer, time.Since(start), err
}

func newRoundReport(answer *wire.Answer, took time.Duration, d *wire.Dictionary) roundReport {
	r := roundReport{Answer: answer.Code.String(), Took: float64(took) / float64(time.Millisecond), Attributes: []answerAttribute{}, took: took}
	for _, attribute := range answer.Attributes() {
		name, value := d.FormatAttribute(attribute)
		switch name {
		case "MS-CHAP-Error":
			value = strconv.QuoteToASCII(string(attribute.Value[min(1, len(attribute.Value)):])) // behind the identifier (RFC 2548 §2.1.5)
		case "MS-CHAP2-Success", "MS-MPPE-Send-Key", "MS-MPPE-Recv-Key", "Message-Authenticator":
			continue // proofs and keys tell a user nothing
		}
		r.Attributes = append(r.Attributes, answerAttribute{name, value})
	}
	return r
}

func printRound(s streams, r *roundReport, asJSON bool) error {
	if asJSON {
		return s.printJSON(r)
	}
	fmt.Fprintf(s.stdout, "%s after %s\n", r.Answer, r.took.Round(time.Millisecond))
	for _, x := range r.Attributes {
		fmt.Fprintf(s.stdout, "    %s = %s\n", x.Name, x.Value)
	}
	return nil
}
