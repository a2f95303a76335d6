package command

import (
	"errors"
	"os"
	"os/user"
	"strings"

	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/store"
)

// operations are what an operator may do with a database.
func operations(st *store.Store) *admin.Admin { return &admin.Admin{Store: st} }

// actor is who types the command.
func actor() admin.Actor { return admin.Actor{Name: operator(), Via: admin.CLI} }

// operator names the operating-system user, and behind sudo also the one who
// typed the command.
func operator() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if by := os.Getenv("SUDO_USER"); by != "" && by != name {
		name += " (sudo by " + by + ")"
	}
	return name
}

// flagged names the flags of a value that an operation does not take.
func flagged(err error) error {
	var e *admin.Invalid
	if !errors.As(err, &e) {
		return err
	}
	flags := strings.NewReplacer(" and ", " and --", " or ", " or --").Replace(e.Field)
	return &admin.Invalid{Field: "--" + flags, Rule: e.Rule}
}
