package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius"
	"github.com/radmatch/radmatch/radius/caller"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/wire"
)

// loginMargin is how long `login` waits beyond push_timeout.
const loginMargin = 15 * time.Second

// maxRounds ends a login that the server never decides.
const maxRounds = 30

func (a *app) loginCommand() *cobra.Command {
	var l loginCommand
	c := &cobra.Command{
		Use:   "login USER",
		Short: "Sign in as a client would, and show each round",
		Long: `login sends the Access-Request of one login to the running server of this
configuration and shows each round. It needs a client whose addresses hold this
machine's, because the server knows its clients by address.

The password is asked for on the terminal. Where standard input is no terminal,
its first line is the password, and each further line answers a challenge.

Exit codes: 0 accepted, 4 rejected, 5 no answer.`,
		Example: "  radmatch login alice\n  printf 'password\\n123456\\n' | radmatch login alice\n  radmatch login alice --mschapv2",
		Args:    exactArgs(1, "radmatch login USER"),
		RunE: func(c *cobra.Command, args []string) error {
			l.user = args[0]
			return a.login(c.Context(), &l)
		},
	}
	c.Flags().StringVar(&l.client, "client", "", "the client to be; its addresses must hold this machine's")
	c.Flags().StringVar(&l.server, "server", "", "address of the server, HOST:PORT (default: the first of listen.radius)")
	c.Flags().StringVar(&l.endUser, "from", "", "Calling-Station-Id to send (default: the address it sends from)")
	c.Flags().BoolVar(&l.stdin, "password-stdin", false, "read password and answers from standard input, even from a terminal")
	jsonFlag(c, &l.json)
	c.Flags().BoolVar(&l.mschap, "mschapv2", false, "prove the password by MS-CHAPv2 in place of PAP")
	return c
}

// login is one run of the command.
type loginCommand struct {
	user, client, server, endUser string
	stdin, mschap, json           bool
}

func (a *app) login(ctx context.Context, l *loginCommand) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
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
	ask := newAsker(a, l.stdin)
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
		fmt.Fprintf(a.stdout, "Access-Request to %s from %s as client %s\n", caller.Addr, caller.Local, client)
	}
	for range maxRounds {
		answer, took, err := exchange(ctx, caller, q)
		if err == nil {
			r := newRoundReport(&answer, took, dictionary)
			r.Client, r.Server, r.From = client, caller.Addr, caller.Local
			err = a.printRound(&r, l.json)
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

func (a *app) printRound(r *roundReport, asJSON bool) error {
	if asJSON {
		return a.printJSON(r)
	}
	fmt.Fprintf(a.stdout, "%s after %s\n", r.Answer, r.took.Round(time.Millisecond))
	for _, x := range r.Attributes {
		fmt.Fprintf(a.stdout, "    %s = %s\n", x.Name, x.Value)
	}
	return nil
}

// loginCaller is one way to ask the server: from one address of this machine to
// one of the server's, as the client that has that address.
type loginCaller struct {
	client string
	caller *caller.Caller
}

// reach returns the client that this machine can be, and how it asks the server.
// Of a server whose name has several addresses it takes the first one that
// answers a Status-Server; where none does, the first.
func (l *loginCommand) reach(ctx context.Context, cfg *config.Config) (string, *caller.Caller, error) {
	server := l.server
	if server == "" {
		if len(cfg.Listen.RADIUS) == 0 {
			return "", nil, usageError("radmatch login --server HOST:PORT", "listen.radius has no address")
		}
		server = reachable(cfg.Listen.RADIUS[0])
	}
	addresses, err := caller.Addresses(ctx, server)
	if err != nil {
		return "", nil, usageError("radmatch login --server HOST:PORT", "server %q: %w", server, err)
	}
	var ways []loginCaller
	var unreachable error
	for _, address := range addresses {
		way, err := l.way(cfg, address)
		switch {
		case err == nil:
			ways = append(ways, way)
		case unreachable == nil:
			unreachable = err
		}
	}
	if len(ways) == 0 {
		return "", nil, unreachable
	}
	use := answering(ctx, ways)
	return use.client, use.caller, nil
}

// answering returns the first way on which the server answers a Status-Server;
// where it does on none, the first.
func answering(ctx context.Context, ways []loginCaller) loginCaller {
	for i := 0; len(ways) > 1 && i < len(ways); i++ {
		if ways[i].answers(ctx) {
			return ways[i]
		}
	}
	return ways[0]
}

// answers reports whether the server is there.
func (w *loginCaller) answers(ctx context.Context) bool {
	try := caller.Caller{Addr: w.caller.Addr, Local: w.caller.Local, Secret: w.caller.Secret, First: 300 * time.Millisecond, Total: time.Second}
	_, err := try.Exchange(ctx, &wire.Query{Code: wire.StatusServer})
	return err == nil
}

// way finds the client that this machine can be towards an address of the server.
func (l *loginCommand) way(cfg *config.Config, server string) (loginCaller, error) {
	hint := fmt.Sprintf("radmatch explain %s, or give a client the address of this machine", l.user)
	sources, err := localAddresses(cfg, server)
	if err != nil {
		return loginCaller{}, usageError("radmatch login --server HOST:PORT", "server %q: %w", server, err)
	}
	table, err := loginTable(cfg)
	if err != nil {
		return loginCaller{}, err
	}
	for _, source := range sources {
		c, ok := table.Lookup(source)
		if !ok || (l.client != "" && c.Name != l.client) {
			continue
		}
		i := clientIndex(cfg, c.Name)
		return loginCaller{c.Name, &caller.Caller{
			Addr: server, Local: source, Secret: wire.NewSecret(c.Secrets[0]),
			Total: cfg.Clients[i].MFA.PushTimeout + loginMargin,
		}}, nil
	}
	switch {
	case l.client == "":
		return loginCaller{}, usageError(hint, "no client has an address of this machine")
	case clientIndex(cfg, l.client) < 0:
		return loginCaller{}, usageError(hint, "no client is named %q", l.client)
	}
	if proxy := cfg.Clients[clientIndex(cfg, l.client)].Behind; proxy != "" {
		return loginCaller{}, usageError(fmt.Sprintf("radmatch explain %s --client %s", l.user, l.client),
			"client %q is behind client %q: only a request with its NAS-Identifier or its address of a NAS is its", l.client, proxy)
	}
	return loginCaller{}, usageError(hint, "client %q has no address of this machine, or another client has it with a longer prefix", l.client)
}

// loginTable finds clients as the server does.
func loginTable(cfg *config.Config) (*radius.Table, error) {
	var clients []radius.Client
	for i := range cfg.Clients {
		c := &cfg.Clients[i]
		if c.Behind != "" {
			continue
		}
		own := radius.Client{Name: c.Name, Prefixes: c.Addresses, Profile: &profile.Profile{}, Policy: &mfa.Client{}}
		for _, s := range c.Secret {
			own.Secrets = append(own.Secrets, []byte(s))
		}
		clients = append(clients, own)
	}
	return radius.NewTable(clients)
}

func clientIndex(cfg *config.Config, name string) int {
	for i := range cfg.Clients {
		if cfg.Clients[i].Name == name {
			return i
		}
	}
	return -1
}

// reachable turns an address that the server listens on into one that it can be
// asked at.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

// localAddresses lists the addresses that this machine can ask server from: first
// the one that it would use by itself, then those of the clients on the loopback
// network and of its interfaces.
func localAddresses(cfg *config.Config, server string) ([]netip.Addr, error) {
	conn, err := net.Dial("udp", server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	first := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	list := []netip.Addr{first}
	if first.IsLoopback() && first.Is4() {
		for i := range cfg.Clients {
			for _, p := range cfg.Clients[i].Addresses {
				if a := p.Addr().Unmap(); a.Is4() && a.IsLoopback() && p.IsSingleIP() {
					list = append(list, a)
				}
			}
		}
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return list, nil
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok && addr.Unmap().Is4() == first.Is4() && !addr.IsLinkLocalUnicast() {
				list = append(list, addr.Unmap())
			}
		}
	}
	return list, nil
}

// asker reads what a user types, without showing it on a terminal, or lines of
// standard input.
type asker struct {
	out      io.Writer
	lines    *bufio.Reader
	terminal *os.File // nil: standard input is not one
}

func newAsker(a *app, plain bool) *asker {
	k := &asker{out: a.stderr, lines: bufio.NewReader(a.stdin)}
	if f, ok := a.stdin.(*os.File); ok && !plain && term.IsTerminal(int(f.Fd())) {
		k.terminal = f
	}
	return k
}

// line asks for one line. The end of standard input before a line is an error,
// and so is the end of ctx, which an interrupt is.
func (k *asker) line(ctx context.Context, prompt string, echo bool) (string, error) {
	if k.terminal == nil {
		return k.read()
	}
	restore := func() error { return nil }
	if !echo {
		var err error
		if restore, err = echoOff(k.terminal); err != nil {
			return "", err
		}
	}
	// Only now: what is typed before would stand there for all to see.
	fmt.Fprint(k.out, prompt)
	var text string
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		text, err = k.read()
	}()
	select {
	case <-done:
	case <-ctx.Done(): // the reader is left behind: the program ends
		text, err = "", ctx.Err()
	}
	if !echo {
		err = errors.Join(err, restore())
		fmt.Fprintln(k.out)
	}
	return text, err
}

func (k *asker) read() (string, error) {
	text, err := k.lines.ReadString('\n')
	if err != nil && text == "" {
		return "", errors.New("standard input has ended")
	}
	return strings.TrimRight(strings.TrimPrefix(text, "\ufeff"), "\r\n"), nil
}
