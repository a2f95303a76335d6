package nas

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/providers"
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

// Login is one run of the command.
type Login struct {
	User, Client, Server, EndUser string
	Stdin, MSCHAPv2, JSON         bool
}

// Run signs in, and shows each round.
func (l *Login) Run(ctx context.Context, s console.Streams, cfg *config.Config) error {
	client, caller, err := l.reach(ctx, cfg)
	if err != nil {
		return err
	}
	dictionary, err := providers.OpenDictionary(cfg)
	if err != nil {
		return &console.ExitError{Code: console.ExitConfig, Err: err, Hint: "radmatch check"}
	}
	if l.EndUser == "" {
		l.EndUser = caller.Local.String()
	}
	q := &wire.Query{Code: wire.AccessRequest, User: l.User}
	from, err := wire.NASAttribute("Calling-Station-Id", l.EndUser)
	if err != nil {
		return console.UsageError("radmatch login --help", "%w", err)
	}
	q.Attributes = []mfa.Attribute{radius.ToolIdentifier("login"), from}
	ask := console.NewAsker(s, l.Stdin)
	password, err := ask.Line(ctx, "Password: ", false)
	if err != nil {
		return console.UsageError("radmatch login --help", "no password: %w", err)
	}
	q.Cred = mfa.Password(password)
	if l.MSCHAPv2 {
		if q.Cred, err = wire.NewMSCHAPv2(l.User, password); err != nil {
			return err
		}
	}
	if !l.JSON {
		fmt.Fprintf(s.Stdout, "Access-Request to %s from %s as client %s\n", caller.Addr, caller.Local, client)
	}
	for range maxRounds {
		answer, took, err := exchange(ctx, caller, q)
		if err == nil {
			r := newRoundReport(&answer, took, dictionary)
			r.Client, r.Server, r.From = client, caller.Addr, caller.Local
			err = printRound(s, &r, l.JSON)
		}
		if err != nil {
			return err
		}
		switch answer.Code {
		case wire.AccessAccept:
			if cred, ok := q.Cred.(mfa.MSCHAPv2); ok {
				return answer.ProvesMSCHAPv2(cred, l.User, password)
			}
			return nil
		case wire.AccessChallenge:
			text, err := ask.Line(ctx, "Answer: ", answer.Echo())
			if err != nil {
				return console.WithHint("give the answer as another line of standard input", fmt.Errorf("the challenge is not answered: %w", err))
			}
			q.Cred, q.State = mfa.Password(text), answer.State()
		default:
			return &console.ExitError{Code: console.ExitRejected}
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
		err = &console.ExitError{Code: console.ExitNoAnswer, Err: err, Hint: "is the server running? Its log says why it discards a packet"}
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

func printRound(s console.Streams, r *roundReport, asJSON bool) error {
	if asJSON {
		return s.PrintJSON(r)
	}
	fmt.Fprintf(s.Stdout, "%s after %s\n", r.Answer, r.took.Round(time.Millisecond))
	for _, x := range r.Attributes {
		fmt.Fprintf(s.Stdout, "    %s = %s\n", x.Name, x.Value)
	}
	return nil
}
