package postgres

import "github.com/radmatch/radmatch/mfa/store/record"

// more is what few batches have beside rows of events, as columns of the second statement.
type more struct {
	reportMain []int64
	reports    columns
	bars       struct {
		n        []int64
		usr, grp []string
	}
	blocks struct {
		n         []int64
		usr, name []string
	}
	codes struct {
		n                  []int64
		usr                []string
		count, locks       []int32
		last, since, until []int64
	}
	prompts struct {
		n, at   []int64
		id, usr []string
		data    [][]byte
	}
	sessions struct {
		n, at             []int64
		usr, name, client []string
		interim           []bool
		mark, data        [][]byte
	}
	at []int // the places of the reports of sessions among the rows of Append
}

func (b *batch) others() *more {
	if b.more == nil {
		b.more = new(more)
	}
	return b.more
}

// report adds what stands beside the row main.
func (m *more) report(r *record.Row, main, n, at int64) {
	m.reportMain = append(m.reportMain, main)
	m.reports.add(r, n, at, false)
}

// follows adds what follows from row n.
func (m *more) follows(r *record.Row, n, at int64) {
	key := text(r.Key)
	if r.Barred != "" {
		m.bars.n, m.bars.usr, m.bars.grp = append(m.bars.n, n), append(m.bars.usr, key), append(m.bars.grp, text(r.Barred))
	}
	if r.Barred != "" && r.Blocks {
		m.blocks.n, m.blocks.usr, m.blocks.name = append(m.blocks.n, n), append(m.blocks.usr, key), append(m.blocks.name, text(r.User))
	}
	if w := r.Wrong; w != nil {
		c := &m.codes
		c.n, c.usr = append(c.n, n), append(c.usr, key)
		c.count, c.locks = append(c.count, int32(w.Row)), append(c.locks, int32(w.Locks))
		c.last, c.since, c.until = append(c.last, record.Micros(w.Last)), append(c.since, record.Micros(w.Since)), append(c.until, record.Micros(w.Until))
	}
	if r.Prompt.ID != "" {
		p := &m.prompts
		p.n, p.at, p.id, p.usr, p.data = append(p.n, n), append(p.at, at), append(p.id, text(r.Prompt.ID)), append(p.usr, key), append(p.data, r.Prompt.Data)
	}
}

// session adds the report of a session, which is no event.
func (m *more) session(r *record.Row, place int, n, at int64) {
	s := &m.sessions
	key, name := names(r)
	s.n, s.at, s.usr, s.name, s.client = append(s.n, n), append(s.at, at), append(s.usr, key), append(s.name, name), append(s.client, text(r.Client))
	s.mark, s.interim, s.data = append(s.mark, r.Mark), append(s.interim, r.Interim), append(s.data, r.Data)
	m.at = append(m.at, place)
}

// args appends the parameters.
func (m *more) args(args []any) []any {
	r, c, p, s := &m.reports, &m.codes, &m.prompts, &m.sessions
	return append(args, m.reportMain, r.usr, r.n, r.at, r.name, r.client, r.reason, r.tries, r.data,
		m.bars.n, m.bars.usr, m.bars.grp, m.blocks.n, m.blocks.usr, m.blocks.name,
		c.n, c.usr, c.count, c.locks, c.last, c.since, c.until,
		p.n, p.id, p.usr, p.at, p.data,
		s.n, s.at, s.usr, s.name, s.client, s.mark, s.interim, s.data)
}
