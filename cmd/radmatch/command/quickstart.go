package command

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/otp"
)

// quickUser is a name that needs no quotes, neither in a shell nor in YAML.
var quickUser = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._@-]{0,63}$`)

func (a *app) quickstartCommand() *cobra.Command {
	q := quickstart{a: a}
	c := &cobra.Command{
		Use:   "quickstart",
		Short: "Write a configuration that works, with a first user",
		Long: `quickstart writes radmatch.yaml, users.yaml with a first user, a shared secret for
clients on this machine, and a database with a TOTP token of the user. It prints what
to try next, asks nothing, overwrites nothing, and removes what it wrote if it fails.`,
		Example: "  radmatch quickstart\n  radmatch quickstart --user anna --dir /etc/radmatch",
		Args:    exactArgs(0, "radmatch quickstart --user NAME --dir FOLDER"),
		RunE: func(c *cobra.Command, _ []string) error {
			q.file = filepath.Join(q.dir, "radmatch.yaml")
			if c.Flags().Changed("config") {
				if c.Flags().Changed("dir") {
					return console.UsageError("radmatch quickstart --dir FOLDER", "-c and --dir both say where to write")
				}
				q.file = a.ConfigFile
			}
			return q.run(c.Context())
		},
	}
	c.Flags().StringVar(&q.user, "user", "alice", "name of the first user")
	c.Flags().StringVar(&q.dir, "dir", ".", "folder to write to; -c FILE also names the file")
	c.Flags().StringVar(&q.radius, "radius", "0.0.0.0:1812", "address to listen on for RADIUS")
	c.Flags().StringVar(&q.web, "web", "127.0.0.1:8080", "address to listen on for devices")
	return c
}

// quickstart is one run of the command.
type quickstart struct {
	a                            *app
	user, dir, file, radius, web string

	users, secret, data string   // the other files
	made                []string // to remove if it fails, the last one first

	password string
	token    otp.Token
	url      string // of the token
	link     string // of the invitation
	expires  time.Time
}

func (q *quickstart) run(ctx context.Context) (err error) {
	if !quickUser.MatchString(q.user) {
		return console.UsageError("radmatch quickstart --user alice", "--user must be letters, digits, dots, dashes and @; got %q", q.user)
	}
	for flag, address := range map[string]string{"--radius": q.radius, "--web": q.web} {
		if !config.IsListen(address) {
			return console.UsageError("radmatch quickstart --radius 0.0.0.0:1812 --web 127.0.0.1:8080", "%s must be IP:PORT; got %q", flag, address)
		}
	}
	dir := filepath.Dir(q.file)
	q.users, q.secret, q.data = filepath.Join(dir, "users.yaml"), filepath.Join(dir, "secrets", "localhost"), filepath.Join(dir, "data")
	if err := q.a.BecomeOwner(dir); err != nil {
		return err
	}
	if err := q.refuseExisting(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, q.undo())
		}
	}()
	if err := q.write(); err != nil {
		return fmt.Errorf("quickstart: %w", err)
	}
	if err := q.register(ctx); err != nil {
		return err
	}
	return q.print()
}

func (q *quickstart) refuseExisting() error {
	var there []string
	for _, f := range []string{q.file, q.users, q.secret, q.data} {
		if _, err := os.Lstat(f); !errors.Is(err, fs.ErrNotExist) {
			there = append(there, f)
		}
	}
	if len(there) > 0 {
		return console.WithHint("radmatch quickstart --dir FOLDER", fmt.Errorf("quickstart: is there already: %s", strings.Join(there, ", ")))
	}
	return nil
}

// undo removes what was written, and no folder with anything else in it.
func (q *quickstart) undo() error {
	var errs []error
	for _, f := range slices.Backward(q.made) {
		remove := os.Remove
		if f == q.data {
			remove = os.RemoveAll // the store's own files
		}
		if err := remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (q *quickstart) mkdir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	q.made = append(q.made, dir)
	return nil
}

func (q *quickstart) create(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	q.made = append(q.made, file)
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// write makes the files.
func (q *quickstart) write() error {
	q.password = strings.ToLower(rand.Text()[:16]) // 80 bits
	hash, err := password.Hash(q.password)
	if err != nil {
		return err
	}
	for _, dir := range []string{filepath.Dir(q.file), filepath.Dir(q.secret)} {
		if err := q.mkdir(dir); err != nil {
			return err
		}
	}
	for _, f := range []struct{ name, text string }{
		{q.secret, rand.Text() + "\n"},
		{q.users, fmt.Sprintf(quickUsers, q.user, hash)},
		{q.file, fmt.Sprintf(quickConfig, q.radius, q.web, q.publicURL(), strings.Join(q.addresses(), ", "))},
	} {
		if err := q.create(f.name, f.text); err != nil {
			return err
		}
	}
	return nil
}

const quickUsers = `# Users and the hashes of their passwords: "radmatch hash" makes one. A running server
# reads this file again on SIGHUP. MS-CHAPv2 needs an {NT} hash, all others are better.
users:
  - name: %s
    password: '%s'
    groups: [staff]
    reply: {}            # attributes of the Access-Accept, such as {Filter-Id: employees}
`

const quickConfig = `# "radmatch config describe" prints every key, "radmatch check" says what is wrong.
listen:
  radius: [%q]
  web: %q
data_dir: data
%s
primaries:
  - {name: local, type: file, path: users.yaml}
clients:
  - name: localhost
    addresses: [%s]
    secret_file: secrets/localhost
#  - name: vpn
#    addresses: [203.0.113.7]
#    secret_file: secrets/vpn
#mfa:
#  override_number_matching_with_otp: true    # passcodes in place of pushes, for who has both
`

// publicURL is the line for where users reach listen.web. On loopback it has a
// name: browsers make passkeys only for names.
func (q *quickstart) publicURL() string {
	const hint = "https://mfa.example.org"
	host, port, _ := net.SplitHostPort(q.web)
	if a, err := netip.ParseAddr(host); err != nil || a != netip.AddrFrom4([4]byte{127, 0, 0, 1}) {
		return "#web: {public_url: " + hint + "}   # where phones reach listen.web, by a reverse proxy"
	}
	return fmt.Sprintf("web: {public_url: \"http://localhost:%s\"}   # only this machine; for phones %s, by a reverse proxy", port, hint)
}

// addresses is where requests of this machine come from: its loopback, and the
// address to listen on, which packets to it leave from.
func (q *quickstart) addresses() []string {
	list := []string{`"127.0.0.1"`, `"::1"`}
	host, _, _ := net.SplitHostPort(q.radius)
	if a, err := netip.ParseAddr(host); err == nil && !a.IsUnspecified() && !a.IsLoopback() {
		list = append(list, fmt.Sprintf("%q", a))
	}
	return list
}

// register reads what was written as the server would, and gives the user a
// token and an invitation.
func (q *quickstart) register(ctx context.Context) error {
	q.a.ConfigFile = q.file
	cfg, err := q.a.LoadConfig()
	if err != nil {
		return err
	}
	p, err := providers.CommandParts(cfg)
	if err != nil {
		return err
	}
	primaries, err := providers.OpenPrimaries(cfg, p)
	if err != nil {
		return err
	}
	defer primaries.Close()
	q.token = otp.NewTOTP(mfa.NameOf(q.user))
	q.token.Label = "quickstart"
	if q.url, err = q.token.URL("radmatch"); err != nil {
		return fmt.Errorf("quickstart: %w", err)
	}
	q.made = append(q.made, q.data)
	st, err := q.a.OpenStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	if err := operations(st).AddToken(ctx, actor(), q.token); err != nil {
		return err
	}
	token, in, err := operations(st).Invite(ctx, actor(), mfa.NameOf(q.user), admin.DefaultInvitation)
	if err != nil {
		return err
	}
	q.expires, q.link = in.Expires, device.InvitationLink(cfg.PublicURL(), token)
	return st.Close()
}

// print says what to try next.
func (q *quickstart) print() error {
	fmt.Fprintf(q.a.Stdout, "Wrote %s, %s, %s and %s.\n\n", q.file, q.users, q.secret, q.data)
	fmt.Fprintf(q.a.Stdout, "User:     %s\nPassword: %s   (shown only now)\n\nScan this with an authenticator app:\n\n", q.user, q.password)
	if err := q.a.showToken(&q.token, q.url, false); err != nil {
		return err
	}
	program, file := program(), ""
	if filepath.Clean(q.file) != "radmatch.yaml" {
		file = " -c " + q.file
	}
	_, err := fmt.Fprintf(q.a.Stdout, `
Next, each in a terminal of its own ("make run" has started the server already):

  %[1]s serve%[2]s
  %[1]s login %[3]s%[2]s

It asks for the password above, then for the code that the app shows. Without an app:

  oathtool --totp --base32 %[4]s

To approve with a press in place of typing a code, open this link in a browser on this
machine, add it as a device, and log in again (the link works once, until %[8]s):

  %[9]s

A terminal can be the device as well:

  %[1]s phone enroll '%[9]s'
  %[1]s phone watch

The same with FreeRADIUS's radclient, while there is no device. The first request is answered
by Access-Challenge; its State and a code that was not used yet make the second one, answered
by Access-Accept:

  echo 'User-Name = "%[3]s", User-Password = "%[5]s", Message-Authenticator = 0x00' |
    radclient -x -r 1 -t 60 -S %[6]s %[7]s auth
  echo 'User-Name = "%[3]s", User-Password = "CODE", State = STATE, Message-Authenticator = 0x00' |
    radclient -x -r 1 -t 60 -S %[6]s %[7]s auth
`, program, file, q.user, otp.FormatSecret(q.token.Secret), q.password, q.secret, q.target(),
		q.expires.Format(time.DateTime), q.link)
	return err
}

// target is the address at which this machine reaches the server.
func (q *quickstart) target() string {
	host, port, _ := net.SplitHostPort(q.radius)
	if a, err := netip.ParseAddr(host); err != nil || a.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// program is what to type to run radmatch again.
func program() string {
	if _, err := exec.LookPath("radmatch"); err == nil {
		return "radmatch"
	}
	return os.Args[0]
}
