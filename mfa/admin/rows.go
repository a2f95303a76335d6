package admin

import (
	"context"
	"fmt"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/otp"
)

// ResolvedRows are the rows of a file of tokens with the names that primaries use.
type ResolvedRows struct {
	Good    []otp.Row
	Bad     []otp.RowError // whose user no primary knows
	Renamed []Renamed
	Unsure  string // the primary that cannot look users up; may be empty
}

// Renamed is a row for a user whom the primary calls otherwise.
type Renamed struct{ User, InFile mfa.Name }

// ResolveRows puts the names that the primaries use into the rows of a file of tokens.
// Rows whose user no primary knows are bad ones. Where a primary gives no answer there
// are none: the same file then does in an hour.
func (r Resolver) ResolveRows(ctx context.Context, rows []otp.Row) (*ResolvedRows, error) {
	var names []mfa.Name
	at := map[mfa.NameKey]int{}
	for _, row := range rows {
		if _, ok := at[row.Token.User.Key()]; !ok {
			at[row.Token.User.Key()] = len(names)
			names = append(names, row.Token.User)
		}
	}
	users, failed, err := r.resolveAll(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("nothing is imported: %w", err)
	}
	all := &ResolvedRows{}
	for _, row := range rows {
		i := at[row.Token.User.Key()]
		if failed[i] != nil {
			all.Bad = append(all.Bad, otp.RowError{Line: row.Line, Problem: failed[i].Error()})
			continue
		}
		user := users[i]
		if !user.Name.Is(row.Token.User) {
			all.Renamed = append(all.Renamed, Renamed{user.Name, row.Token.User})
		}
		if user.Unsure != "" {
			all.Unsure = user.Unsure
		}
		row.Token.User = user.Name
		all.Good = append(all.Good, row)
	}
	return all, nil
}
