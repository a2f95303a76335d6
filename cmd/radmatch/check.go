package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/upstream"
)

func (a *app) checkCommand() *cobra.Command {
	var connect bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Say everything that is wrong or unwise in the configuration",
		Long: `check reads the configuration and prints every problem and every warning, one a line,
and for each client who is asked for a passcode in place of a push, and why, and what its
device is taken to do.
With --connect it also opens the database, each primary and each push provider, tries
the addresses to listen on (not those that the running server holds), and fetches
web.public_url as a phone would; that a phone cannot is a warning.

Exit codes: 0 it can be served (there may be warnings), 3 it cannot.`,
		Example: "  radmatch check\n  radmatch check --connect -c /etc/radmatch/radmatch.yaml",
		Args:    exactArgs(0, "radmatch check"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.check(c.Context(), connect)
		},
	}
	c.Flags().BoolVar(&connect, "connect", false, "try the database, each primary and each push provider")
	jsonFlag(c, &a.findJSON)
	return c
}

func (a *app) check(ctx context.Context, connect bool) error {
	cfg, err := readConfig(a.configFile)
	if problems := (config.Problems)(nil); errors.As(err, &problems) {
		a.findProblems(problems)
		return &exitError{code: exitConfig}
	} else if err != nil {
		a.findError(err, "")
		return &exitError{code: exitConfig}
	}
	// What serve would do, and can read and listen on from then on.
	if err := a.becomeOwner(cfg.DataDir, false); err != nil {
		a.findError(dataDirError(cfg, err), "")
		return &exitError{code: exitConfig}
	}
	a.findProblems(cfg.Warnings)
	a.warnUsers(cfg)
	unread := a.checkBypasses(ctx, cfg)
	if err := a.checkClients(cfg); err != nil {
		return err
	}
	if err := a.checkAttributes(cfg); err != nil {
		return err
	}
	if err := a.checkWeb(cfg); err != nil {
		return err
	}
	a.warnNASTimeouts(cfg)
	a.warnUnsureNames(cfg)
	a.warnReplies(cfg)
	if err := a.checkPages(cfg); err != nil {
		return err
	}
	a.noteOwner(cfg)
	if connect {
		return a.checkConnect(ctx, cfg)
	}
	if err := errors.Join(servable(cfg), unread); err != nil {
		a.findError(err, "")
		return &exitError{code: exitConfig}
	}
	a.find(foundOK, "", cfg.File+" can be served; --connect also tries what it names", "")
	return nil
}

// warnUsers warns of users files that everyone can read: an {NT} hash is as
// good as the password.
func (a *app) warnUsers(cfg *config.Config) {
	for _, p := range cfg.Primaries {
		s, ok := p.Settings.(*password.FileSettings)
		if !ok {
			continue
		}
		file := cfg.Resolve(s.Path)
		if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o004 != 0 {
			a.find(foundWarning, file, "everyone on this machine can read the hashes in it: chmod 640 "+file, "")
		}
	}
}

// checkClients prints where the override of each client comes from, and what its
// device is taken to do.
func (a *app) checkClients(cfg *config.Config) error {
	if a.findJSON {
		return printEach(a, cfg.Clients, newCheckedClient)
	}
	unset := false
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for i := range cfg.Clients {
		value, origin := cfg.Clients[i].OverrideOTP()
		unset = unset || origin == "default"
		fmt.Fprintf(t, "client %s:\toverride_number_matching_with_otp %v\t(%s)\n", cfg.Clients[i].Name, value, origin)
	}
	for i := range cfg.Clients {
		fmt.Fprintf(t, "client %s:\t%s\n", cfg.Clients[i].Name, deviceText(&cfg.Clients[i]))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if unset {
		a.find(foundNote, "", "where it is unset, NPS extensions before 1.2.2216.1 behave as FALSE, as radmatch does, and later ones as TRUE", "")
	}
	return nil
}

// warnNASTimeouts warns of clients that give up before a user can answer, with what
// to set on the device.
func (a *app) warnNASTimeouts(cfg *config.Config) {
	for i := range cfg.Clients {
		c := &cfg.Clients[i]
		kind, err := profile.Lookup(c.Profile)
		if err != nil || !kind.TooShort(c.NASTimeout) {
			continue
		}
		if c.Behind != "" && c.Origin("nas_timeout") == "client "+c.Behind {
			continue // said of the proxy
		}
		a.find(foundWarning, "client "+c.Name, fmt.Sprintf("it waits %s for an answer (%s), a user needs %s: %s; then set nas_timeout to that",
			waits(c.NASTimeout), c.Origin("nas_timeout"), profile.EnoughTime, kind.Raise), "")
	}
}

// warnUnsureNames warns of clients that let users in without a second factor by the
// word of a RADIUS server, which need not say whom it knows by a name.
func (a *app) warnUnsureNames(cfg *config.Config) {
	asks := map[string]bool{}
	for _, e := range cfg.Primaries {
		_, asks[e.Name] = e.Settings.(*upstream.Settings)
	}
	for i := range cfg.Clients {
		c := &cfg.Clients[i]
		var key string
		switch x := c.MFA.Exempt; {
		case !asks[c.Primary]:
			continue
		case !c.MFA.RequireUserMatch:
			key = "require_user_match: false"
		case c.ExemptClient:
			key = "exempt_client"
		case len(x.Groups)+len(x.Addresses) > 0:
			key = "exempt"
		default:
			continue
		}
		a.find(foundWarning, "client "+c.Name, fmt.Sprintf("%s counts for sure names alone: where primary %s does not return User-Name, user@domain is not sure, and is rejected with nothing registered (%s): docs/asks.md, \"Who the user is\"",
			key, c.Primary, mfa.ReasonUnsureName), "")
	}
}

// checkConnect tries what the configuration names, all of it.
func (a *app) checkConnect(ctx context.Context, cfg *config.Config) error {
	var l lasting
	failed := false
	report := func(what string, err error, ok string) {
		if err != nil {
			failed = true
			a.explainFailure(err)
			return
		}
		a.find(foundOK, what, ok, "")
	}
	var err error
	if l.parts, err = commandParts(cfg); err != nil {
		return err
	}
	l.approver, l.above = &push.Approver{}, primaries{}
	defer l.above.Close()
	state, broken := a.checkStore(ctx, cfg, &l)
	report("store "+cfg.DataDir, broken, state)
	for _, e := range cfg.Primaries {
		state, err := checkPrimary(ctx, cfg, &l, e)
		report("primary "+e.Name, err, state)
	}
	for _, e := range cfg.Push {
		state, err := checkPusher(ctx, cfg, &l, e)
		report("push "+e.Name, err, state)
	}
	if broken == nil {
		if err := a.checkNames(ctx, cfg); err != nil {
			report("names", err, "")
		}
	}
	if err := a.checkGroups(ctx, cfg); err != nil {
		report("groups", err, "")
	}
	a.checkPublic(ctx, cfg)
	failed = a.checkListen(ctx, cfg) || failed
	if !failed {
		report(cfg.File, servable(cfg), "can be served")
	}
	if failed {
		return &exitError{code: exitConfig}
	}
	return nil
}

// connectTime is how long a provider may take to be reached, all its servers together.
const connectTime = 30 * time.Second

// checkPrimary builds a primary and lets it try its servers.
func checkPrimary(ctx context.Context, cfg *config.Config, l *lasting, e config.Provider) (state string, err error) {
	p, err := open(cfg, l.parts, primaryTypes, e)
	if err != nil {
		return "", err
	}
	l.above[e.Name] = p
	if users, ok := p.(interface{ Len() int }); ok {
		return fmt.Sprintf("%d users", users.Len()), nil
	}
	return tryConnect(ctx, e, p, "every server answers")
}

// checkPusher builds a push provider and lets it try its server.
func checkPusher(ctx context.Context, cfg *config.Config, l *lasting, e config.Provider) (state string, err error) {
	p, err := open(cfg, l.parts, pushTypes, e)
	if err != nil {
		return "", err
	}
	return tryConnect(ctx, e, p, "its server answers")
}

// tryConnect lets a provider that has a server try it.
func tryConnect(ctx context.Context, e config.Provider, p any, good string) (state string, err error) {
	connector, ok := p.(mfa.Connector)
	if !ok {
		return "ok", nil
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	if err := connector.Connect(ctx); err != nil {
		return "", &unreachable{where: e.Where, err: err}
	}
	return good, nil
}

// unreachable is what Connect returned, with the entry of the configuration.
type unreachable struct {
	where string
	err   error
}

func (e *unreachable) Error() string { return e.where + ": " + e.err.Error() }

// explainFailure prints an error, those of several servers one a line, each with
// what to do about it.
func (a *app) explainFailure(err error) {
	u, ok := err.(*unreachable)
	if !ok {
		hint := ""
		if e := (*exitError)(nil); errors.As(err, &e) {
			hint = e.hint
		}
		a.findError(err, hint)
		return
	}
	for _, err := range splitErrors(u.err) {
		a.find(foundError, u.where, text.Printable(err.Error(), 500), hintOf(err)) // a server may have worded it
	}
}

// splitErrors returns the errors that were joined in one, none for nil.
func splitErrors(err error) []error {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		return several.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// hintOf is what a provider says can be done about its error; it may be empty.
func hintOf(err error) string {
	var failed *mfa.ConnectError
	if errors.As(err, &failed) {
		return failed.Hint
	}
	return ""
}

// checkStore opens the database. It does not make one: a folder made by root
// would keep the server out.
func (a *app) checkStore(ctx context.Context, cfg *config.Config, l *lasting) (state string, err error) {
	if err := tryDataDir(cfg); err != nil {
		return "", err
	}
	if _, err := os.Stat(cfg.DataDir); errors.Is(err, os.ErrNotExist) {
		return "is not there yet; the first start makes it", nil
	}
	st, err := a.openStore(ctx, cfg)
	if err != nil {
		return "", err
	}
	defer st.Close()
	if err := st.Verify(ctx); err != nil {
		return "", damageHint(err)
	}
	users, err := st.Users(ctx)
	if err != nil {
		return "", err
	}
	devices, err := st.ListDevices(ctx, mfa.Name{})
	if err != nil {
		return "", err
	}
	if err := a.checkWebPush(ctx, cfg, devices); err != nil {
		return "", err
	}
	l.directory = st
	return fmt.Sprintf("%d users with a second factor, %d devices", len(users), len(devices)), nil
}
