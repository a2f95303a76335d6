package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/otp"
)

// resolveRows puts the names that the primaries use into the rows of a file, and says
// so where they are others.
func (a *app) resolveRows(ctx context.Context, cfg *config.Config, rows []otp.Row) (good []otp.Row, bad []otp.RowError, err error) {
	if a.literal || len(rows) == 0 {
		return rows, nil, nil
	}
	r, err := newResolver(cfg)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	all, err := r.ResolveRows(ctx, rows)
	if err != nil {
		return nil, nil, withHint(literalHint(err), fmt.Errorf("totp import: %w", err))
	}
	if len(all.Renamed) > 0 {
		var list []string
		for _, n := range all.Renamed {
			list = append(list, fmt.Sprintf("%s (%s in the file)", text.Printable(n.User.String(), 128), text.Printable(n.InFile.String(), 128)))
		}
		fmt.Fprintf(a.stderr, "radmatch: note: %d rows are for users whom the primary calls otherwise: %s\n", len(list), few(list))
	}
	if all.Unsure != "" {
		fmt.Fprintf(a.stderr, "radmatch: note: primary %s cannot look users up: whether it knows those of the file is not known\n", all.Unsure)
	}
	return all.Good, all.Bad, nil
}

// few is a list of names for a line of text: the first ones.
func few(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
