package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/report"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/mfa/textfile"
	"github.com/radmatch/radmatch/otp"
)

func (a *app) totpCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "totp",
		Short:   "OATH tokens: add, import, list, sync, remove",
		Example: "  radmatch totp add anna\n  radmatch totp import tokens.csv\n  radmatch totp list anna\n  radmatch totp remove anna",
	}
	a.literalFlag(c)
	c.AddCommand(a.totpAddCommand(), a.totpImportCommand(), a.totpListCommand(), a.totpSyncCommand(), a.totpRemoveCommand())
	return c
}

// totpFlags are the flags of `totp add`.
type totpFlags struct {
	secret, secretFile string
	digits, period     int
	algorithm          string
	hotp               bool
	counter            int64
	label, issuer      string
	noQR, json         bool
}

func (a *app) totpAddCommand() *cobra.Command {
	var f totpFlags
	c := &cobra.Command{
		Use:   "add USER",
		Short: "Register a token",
		Long: `Register a token of USER. Without a secret a new one is made and shown once, as an
otpauth URL, a QR code for an authenticator app, and in base32. A secret that is
given, such as that of a hardware token, is not shown. Others can see --secret in the
list of processes; --secret-file cannot be seen.`,
		Example: "  radmatch totp add anna\n  radmatch totp add anna --secret-file - --period 60 --label 'Acme OTP 110' <secret.txt\n" +
			"  radmatch totp add anna --hotp --digits 8",
		Args: exactArgs(1, "radmatch totp add USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.addTOTP(cmd.Context(), mfa.NameOf(args[0]).String(), f)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.secret, "secret", "", "secret in base32")
	fl.StringVar(&f.secretFile, "secret-file", "", "file whose first line is the secret in base32; - is stdin")
	fl.IntVar(&f.digits, "digits", 6, "6 or 8")
	fl.IntVar(&f.period, "period", 30, "30 or 60 seconds")
	fl.StringVar(&f.algorithm, "algorithm", otp.SHA1, "SHA1, SHA256 or SHA512; many apps know only SHA1")
	fl.BoolVar(&f.hotp, "hotp", false, "a counter-based token (RFC 4226) instead of a time-based one")
	fl.Int64Var(&f.counter, "counter", 0, "with --hotp: the next counter")
	fl.StringVar(&f.label, "label", "", "a label for totp list")
	fl.StringVar(&f.issuer, "issuer", "radmatch", "name that the app shows above the code")
	fl.BoolVar(&f.noQR, "no-qr", false, "print no QR code")
	jsonFlag(c, &f.json)
	return c
}

// addedToken is a new token with what enrols it in an app, which is shown once.
type addedToken struct {
	report.Token
	URL    string `json:"url,omitempty"` // empty with Secret: the secret was given
	Secret string `json:"secret,omitempty"`
}

func (a *app) addTOTP(ctx context.Context, typed string, f totpFlags) error {
	t, given, err := a.newToken(mfa.NameOf(typed), f)
	if err != nil {
		return console.UsageError("radmatch totp add --help", "totp add: %w", err)
	}
	url := ""
	err = a.withUser(ctx, typed, func(st *store.Store, user mfa.Name) error {
		if t.User = user; !given {
			if url, err = t.URL(f.issuer); err != nil {
				return console.UsageError("radmatch totp add --help", "totp add: %w", err)
			}
		}
		return operations(st).AddToken(ctx, actor(), t)
	})
	switch {
	case errors.Is(err, otp.ErrDuplicate), errors.Is(err, otp.ErrTooMany):
		return console.WithHint("radmatch totp list "+t.User.String(), fmt.Errorf("totp add: %w", err))
	case err != nil:
		return err
	}
	if t.Weak() {
		fmt.Fprintf(a.Stderr, "radmatch: warning: the secret has %d bits; RFC 4226 demands 128\n", 8*len(t.Secret))
	}
	if f.json {
		added := addedToken{Token: report.NewToken(&t), URL: url}
		if !given {
			added.Secret = otp.FormatSecret(t.Secret)
		}
		return a.PrintJSON(added)
	}
	if !given {
		if err := a.showToken(&t, url, f.noQR); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.Stdout, "Added token %s of %s: %s\n", t.ID, text.Printable(t.User.String(), 128), report.TokenText(&t))
	return nil
}

// newToken makes the token that the flags describe; given tells that its secret
// is the operator's.
func (a *app) newToken(user mfa.Name, f totpFlags) (t otp.Token, given bool, err error) {
	switch {
	case f.counter != 0 && !f.hotp:
		return t, false, errors.New("--counter goes with --hotp")
	case f.secret != "" && f.secretFile != "":
		return t, false, errors.New("--secret and --secret-file exclude each other")
	}
	o := admin.TokenOptions{HOTP: f.hotp, Digits: f.digits, Period: f.period, Algorithm: f.algorithm, Counter: f.counter, Label: f.label}
	text := f.secret
	if f.secretFile != "" {
		if text, err = a.readSecret(f.secretFile); err != nil {
			return t, true, err
		}
	}
	if given = text != "" || f.secretFile != ""; given {
		if o.Secret, err = otp.ParseSecret(text); err != nil {
			return t, true, err
		}
	}
	t, err = admin.NewToken(user, o)
	return t, given, err
}

// readSecret returns the first line of a file, or of stdin for "-".
func (a *app) readSecret(name string) (string, error) {
	in, err := a.open(name)
	if err != nil {
		return "", err
	}
	defer in.Close()
	text, err := textfile.ReadFrom(in, 0, 64<<10)
	if err != nil {
		return "", err
	}
	secrets := textfile.SecretLines(text)
	if len(secrets) == 0 {
		return "", nil
	}
	return secrets[0], nil
}

// open opens a file to be read, or stdin for "-".
func (a *app) open(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.Stdin), nil
	}
	return os.Open(name)
}

// showToken prints what enrols a new token in an app.
func (a *app) showToken(t *otp.Token, url string, noQR bool) error {
	fmt.Fprintf(a.Stdout, "%s\n\n", url)
	if !noQR {
		if err := console.PrintQR(a.Stdout, url); err != nil {
			return err
		}
		fmt.Fprintln(a.Stdout)
	}
	groups := make([]string, 0, 13)
	for group := range slices.Chunk([]byte(otp.FormatSecret(t.Secret)), 4) {
		groups = append(groups, string(group))
	}
	fmt.Fprintf(a.Stdout, "Secret: %s\n", strings.Join(groups, " "))
	return nil
}

func (a *app) totpImportCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "import CSV",
		Short: "Register the tokens of an Entra CSV file",
		Long: `Register all tokens of a file as Entra takes it, with this first line:

  ` + otp.CSVHeader + `

Other spellings and another order of these columns work, and so do the changes that
spreadsheets make: semicolons, tabs, UTF-16, a byte order mark. "hash function" (SHA1,
SHA256, SHA512) and "digits" (6, 8) may be there too, and "secret key hex".

Each bad row is printed as FILE:LINE: and why; the others are registered, and the
exit code is 1. Rows that were registered before are bad rows, so that a mended file
can be imported again. - is stdin.

Each name is looked up at the primary: a token of Anna@example.org is one of anna if
that is the name in the directory. Rows of users whom no primary knows are bad; --literal
takes the names as they are.`,
		Example: "  radmatch totp import tokens.csv",
		Args:    exactArgs(1, "radmatch totp import CSV"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.importTOTP(cmd.Context(), args[0], asJSON)
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

// importReport is the outcome of an import for machines.
type importReport struct {
	Imported int      `json:"imported"`
	Bad      []badRow `json:"bad"`
}

type badRow struct {
	Line    int    `json:"line"`
	Problem string `json:"problem"`
}

func (a *app) importTOTP(ctx context.Context, name string, asJSON bool) error {
	rows, bad, err := a.readCSV(name)
	if err != nil {
		return console.WithHint("radmatch totp import --help", fmt.Errorf("totp import: %w", err))
	}
	cfg, st, err := a.OpenConfigured(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	rows, unknown, err := a.resolveRows(ctx, cfg, rows)
	if err != nil {
		return err
	}
	bad = append(bad, unknown...)
	done, err := operations(st).ImportTokens(ctx, actor(), filepath.Base(name), rows, bad)
	if err != nil {
		return err
	}
	for _, b := range done.Bad {
		fmt.Fprintf(a.Stderr, "%s:%d: %s\n", name, b.Line, b.Problem)
	}
	for _, r := range rows {
		if r.Token.Weak() {
			fmt.Fprintf(a.Stderr, "%s:%d: warning: the secret has %d bits; RFC 4226 demands 128\n", name, r.Line, 8*len(r.Token.Secret))
		}
	}
	if asJSON {
		report := importReport{done.Added, make([]badRow, len(done.Bad))}
		for i, b := range done.Bad {
			report.Bad[i] = badRow(b)
		}
		if err := a.PrintJSON(report); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.Stdout, "%d imported, %d bad\n", done.Added, len(done.Bad))
	}
	if len(done.Bad) > 0 {
		return &console.ExitError{Code: console.ExitFailure}
	}
	return nil
}

func (a *app) readCSV(name string) ([]otp.Row, []otp.RowError, error) {
	in, err := a.open(name)
	if err != nil {
		return nil, nil, err
	}
	defer in.Close()
	rows, bad, err := otp.ReadCSV(in)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return rows, bad, err
}

func (a *app) totpListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "list [USER]",
		Short:   "List tokens",
		Example: "  radmatch totp list\n  radmatch totp list anna",
		Args:    rangeArgs(0, 1, "radmatch totp list [USER]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUserOrAll(cmd.Context(), args, func(st *store.Store, user mfa.Name) error {
				tokens, err := operations(st).ListTokens(cmd.Context(), user)
				if err != nil {
					return err
				}
				if asJSON {
					return console.PrintEach(a.Streams, tokens, report.NewToken)
				}
				if len(tokens) == 0 {
					fmt.Fprintln(a.Stderr, "no tokens")
					return nil
				}
				return printTokens(a.Stdout, tokens)
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func printTokens(w io.Writer, tokens []otp.Token) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "USER\tID\tSERIAL\tTOKEN\tCLOCK OR COUNTER\tADDED\tLABEL")
	for _, o := range tokens {
		state := fmt.Sprintf("%+d steps", o.Drift)
		if o.Kind == otp.HOTP {
			state = fmt.Sprintf("next %d", o.Next)
		}
		serial := "-"
		if o.Serial != "" {
			serial = text.Printable(o.Serial, 64)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", text.Printable(o.User.String(), 128), o.ID, serial,
			report.TokenText(&o), state, o.Created.Local().Format(time.DateTime), text.Printable(o.Label, 64))
	}
	return t.Flush()
}

func (a *app) totpRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove USER [ID|SERIAL]",
		Short:   "Remove a token (TOKEN may be omitted if the user has only one)",
		Example: "  radmatch totp remove anna\n  radmatch totp remove anna 1234567",
		Args:    rangeArgs(1, 2, "radmatch totp remove USER [ID|SERIAL]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			which := ""
			if len(args) > 1 {
				which = args[1]
			}
			return a.withUser(cmd.Context(), args[0], func(st *store.Store, user mfa.Name) error {
				return a.removeTOTP(cmd.Context(), st, user, which)
			})
		},
	}
}

func (a *app) removeTOTP(ctx context.Context, st *store.Store, user mfa.Name, which string) error {
	t, err := operations(st).RemoveToken(ctx, actor(), user, which)
	hint := "radmatch totp list " + user.String()
	var several *admin.SeveralTokens
	switch {
	case errors.Is(err, otp.ErrNoToken):
		return console.WithHint(hint, fmt.Errorf("totp remove: %w", err))
	case errors.As(err, &several):
		return console.UsageError(hint, "totp remove: %w", err)
	case err != nil:
		return err
	}
	fmt.Fprintf(a.Stdout, "Removed token %s of %s\n", t.ID, text.Printable(t.User.String(), 128))
	return a.noteLast(ctx, st, user)
}

// noteLast says so when a user has no second factor any more: require_user_match
// is what decides then.
func (a *app) noteLast(ctx context.Context, st *store.Store, user mfa.Name) error {
	u, err := st.User(ctx, user)
	if err == nil && !u.Registered() {
		fmt.Fprintf(a.Stderr, "radmatch: note: %s has no second factor left; what happens now is up to require_user_match\n", text.Printable(user.String(), 128))
	}
	return err
}

func (a *app) totpSyncCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "sync USER CODE CODE",
		Short: "Resynchronize a token that is out of step",
		Long: `Resynchronize a token of USER by two passcodes that it shows one after the other, the
second of them just now. Its clock may be up to ten minutes off, or its counter up to
1000 ahead. The offset is kept with the token. Both passcodes are used up.

A user can do the same at a login: the first of two passcodes in a row is refused, the
second is accepted.`,
		Example: "  radmatch totp sync anna 123456 654321",
		Args:    exactArgs(3, "radmatch totp sync USER CODE CODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUser(cmd.Context(), args[0], func(st *store.Store, user mfa.Name) error {
				return a.syncTOTP(cmd.Context(), st, user, [2]string{args[1], args[2]}, asJSON)
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) syncTOTP(ctx context.Context, st *store.Store, user mfa.Name, codes [2]string, asJSON bool) error {
	t, err := operations(st).SyncToken(ctx, actor(), user, codes[0], codes[1])
	switch {
	case errors.Is(err, otp.ErrSync), errors.Is(err, otp.ErrUsed):
		return console.WithHint("radmatch totp list "+user.String()+"; two codes one after the other, the last of them just now; is the clock of this machine right?",
			fmt.Errorf("totp sync: %w", err))
	case err != nil:
		return err
	}
	if asJSON {
		return a.PrintJSON(newSyncReport(user, t))
	}
	fmt.Fprintf(a.Stdout, "Token %s of %s: %s\n", t.Token, text.Printable(user.String(), 128), t)
	return nil
}

// syncReport is a token that was brought back, for machines.
type syncReport struct {
	User string `json:"user"`
	ID   string `json:"id"`
	Off  *int   `json:"clock_off_s,omitempty"`  // totp: more than 0 is fast
	Next *int64 `json:"next_counter,omitempty"` // hotp
}

func newSyncReport(user mfa.Name, t admin.Synchronised) syncReport {
	r := syncReport{User: user.String(), ID: t.Token}
	if t.Kind == otp.TOTP {
		off := int(t.Off / time.Second)
		r.Off = &off
	} else {
		r.Next = &t.Next
	}
	return r
}
