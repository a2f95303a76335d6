package check

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/cmd/radmatch/report"
	"github.com/radmatch/radmatch/cmd/radmatch/site"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/text"
)

// namesTime is how long `check --connect` looks registered users up.
const namesTime = 30 * time.Second

// checkNames warns of registered users whom no primary knows by the name that they
// have here: their second factor, and a block, count for no user.
func (k *checker) checkNames(ctx context.Context, cfg *config.Config) error {
	if !site.HasDatabase(cfg) {
		return nil
	}
	st, err := k.OpenStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	if err := k.warnClashes(ctx, st); err != nil {
		return err
	}
	names, err := registered(ctx, st)
	if err != nil || len(names) == 0 {
		return err
	}
	r, err := providers.NewResolver(cfg)
	if err != nil {
		return err
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(ctx, namesTime)
	defer cancel()
	var unknown []string
	var silent error
	notKnown := 0
	for i, err := range r.Know(ctx, names) {
		switch {
		case errors.Is(err, admin.ErrUnknownName):
			unknown = append(unknown, text.Printable(names[i].String(), 128))
		case err != nil:
			silent = err
			notKnown++
		}
	}
	if len(unknown) > 0 {
		k.find(foundWarning, "", fmt.Sprintf("%d registered users are called otherwise at the primary, or have left: %s: what is registered for them is not used; radmatch user show NAME --literal",
			len(unknown), report.Few(unknown)), "")
	}
	if notKnown > 0 {
		k.find(foundNote, "", fmt.Sprintf("whether a primary knows %d of the registered users is not known: %v", notKnown, silent), "")
	}
	return nil
}

// warnClashes warns of users who were several before their names were compared as
// directories do it.
func (k *checker) warnClashes(ctx context.Context, st *store.Store) error {
	clashes, err := st.Clashes(ctx)
	for _, c := range clashes {
		k.find(foundWarning, "", fmt.Sprintf("user %s was kept apart from %q, which is the same name: what is registered there is not used, and the user was blocked; see radmatch user show, register what is missing, then radmatch user unblock, which removes the rest",
			text.Printable(c.User.String(), 128), c.Others), "")
	}
	return err
}

// registered are the users who have a method, or are blocked.
func registered(ctx context.Context, st *store.Store) ([]mfa.Name, error) {
	all, err := st.Users(ctx)
	if err != nil {
		return nil, err
	}
	var names []mfa.Name
	for _, name := range all {
		u, err := st.User(ctx, name)
		if err != nil {
			return nil, err
		}
		if u.Blocked || u.Registered() {
			names = append(names, name)
		}
	}
	return names, nil
}
