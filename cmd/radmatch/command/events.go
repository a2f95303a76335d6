package command

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/report"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/record"
)

// followEvery is how often `events --follow` looks for new events.
const followEvery = 200 * time.Millisecond

// eventsFlags are the flags of the command.
type eventsFlags struct {
	user, client, since string
	limit               int
	follow, json        bool
}

func (a *app) eventsCommand() *cobra.Command {
	var f eventsFlags
	c := &cobra.Command{
		Use:   "events",
		Short: "Show the audit trail",
		Long: `Show the audit trail. Each login ends in one event; administrative changes are events
too, and so is each report of a session if listen.accounting is set. Without --since
and --limit it shows the newest 100, the newest last.`,
		Example: `  radmatch events --user anna --since 24h
  radmatch events --follow
  radmatch events --since 2026-11-01 --json > november.json`,
		Args: rangeArgs(0, 0, "radmatch events --user USER"),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.events(cmd.Context(), f) },
	}
	c.Flags().StringVar(&f.user, "user", "", "only events of this user")
	a.literalFlag(c)
	c.Flags().StringVar(&f.client, "client", "", "only events of this client")
	c.Flags().StringVar(&f.since, "since", "", "a duration (90m, 7d) back from now, or a date (2006-01-02), or a time (RFC 3339)")
	c.Flags().IntVar(&f.limit, "limit", 0, "show only the newest so many")
	c.Flags().BoolVar(&f.follow, "follow", false, "keep showing new events")
	jsonFlag(c, &f.json)
	return c
}

func (a *app) events(ctx context.Context, f eventsFlags) error {
	if f.limit < 0 || f.limit > store.MaxLimit {
		return console.UsageError("--limit 100", "--limit must be 0 to %d; got %d", store.MaxLimit, f.limit)
	}
	since, err := parseSince(f.since, time.Now())
	if err != nil {
		return console.UsageError("--since 24h", "%w", err)
	}
	var users []string
	if f.user != "" {
		users = []string{f.user}
	}
	return a.withUserOrAll(ctx, users, func(st *store.Store, user mfa.Name) error {
		return a.printEvents(ctx, st, user, f, since)
	})
}

func (a *app) printEvents(ctx context.Context, st *store.Store, user mfa.Name, f eventsFlags, since time.Time) error {
	p := eventPrinter{out: a.Stdout, json: f.json}
	q := store.Query{User: user, Client: f.client, Since: since, Limit: f.limit}
	last, err := st.LastEvent(ctx)
	if err != nil {
		return err
	}
	switch {
	case f.limit == 0 && since.IsZero():
		q.Limit = 100
		err = p.newest(ctx, st, q)
	case f.limit == 0:
		q.After = since.UnixMicro() - 1
		err = p.all(ctx, st, q, last)
	default:
		err = p.newest(ctx, st, q)
	}
	if err != nil || !f.follow {
		return err
	}
	q.After, q.Limit = last, store.DefaultLimit
	return p.follow(ctx, st, q)
}

// parseSince reads a duration back from now, a date or a time.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--since must be a duration, a date or a time; got %q", s)
}

// eventPrinter writes events, for readers or for machines.
type eventPrinter struct {
	out  io.Writer
	json bool
}

func (p eventPrinter) newest(ctx context.Context, st *store.Store, q store.Query) error {
	entries, err := st.Events(ctx, q)
	if err != nil {
		return err
	}
	return p.print(entries)
}

// all prints, page by page, what q selects up to the entry last.
func (p eventPrinter) all(ctx context.Context, st *store.Store, q store.Query, last int64) error {
	for q.After < last {
		entries, err := st.Events(ctx, q)
		if err != nil || len(entries) == 0 {
			return err
		}
		for len(entries) > 0 && entries[len(entries)-1].Seq > last {
			entries = entries[:len(entries)-1] // came meanwhile: --follow prints it
		}
		if err := p.print(entries); err != nil || len(entries) == 0 {
			return err
		}
		q.After = entries[len(entries)-1].Seq
	}
	return nil
}

// follow prints events as they come, until ctx ends.
func (p eventPrinter) follow(ctx context.Context, st *store.Store, q store.Query) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		// Read without the filter first: where nothing is new, nothing is searched.
		last, err := st.LastEvent(ctx)
		if err == nil && last > q.After {
			err = p.all(ctx, st, q, last)
			q.After = last
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func (p eventPrinter) print(entries []record.Entry) error {
	for i := range entries {
		line := report.Event(&entries[i].Event)
		if p.json {
			var err error
			if line, err = console.PlainJSON(&entries[i].Event); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(p.out, line); err != nil {
			return err
		}
	}
	return nil
}
