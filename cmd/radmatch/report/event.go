package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/text"
)

// Event is an event for readers. Names and texts come from the network.
func Event(ev *mfa.Event) string {
	var b strings.Builder
	b.WriteString(ev.Time.Local().Format("2006-01-02 15:04:05.000"))
	if ev.Kind == mfa.EventAdmin {
		fmt.Fprintf(&b, "  %-9s  %-20s  %s", ev.Kind, OrDash(ev.User.String(), 128), text.Printable(ev.Text, 300))
		if ev.Operator != "" {
			fmt.Fprintf(&b, "  by %s", text.Printable(ev.Operator, 64))
		}
		return b.String()
	}
	if ev.Kind == mfa.EventAccounting && ev.Session != nil {
		sessionDetails(&b, ev)
		return b.String()
	}
	outcome, plan := ev.Outcome.String(), ev.Plan.String()
	if ev.Kind != mfa.EventLogin {
		outcome = text.Printable(string(ev.Kind), 32)
	}
	if ev.Kind == mfa.EventReport {
		plan = "-"
	}
	fmt.Fprintf(&b, "  %-9s  %-20s  %-12s  %-15s  %-6s  %-16s  %s", outcome, OrDash(ev.User.String(), 128), OrDash(ev.Client, 64),
		OrDash(ev.EndUser, 64), plan, OrDash(string(ev.Reason), 32), OrDash(ev.ID, 64))
	for _, part := range []struct {
		name string
		took time.Duration
	}{{"primary", ev.Primary}, {"factor", ev.Factor}, {"total", ev.Total}} {
		if part.took > 0 {
			fmt.Fprintf(&b, "  %s=%s", part.name, part.took.Round(roundTo(part.took)))
		}
	}
	eventDetails(&b, ev)
	return b.String()
}

// sessionDetails is the line of a report of a session, behind its time. It names
// the login where a Class of ours proves it.
func sessionDetails(b *strings.Builder, ev *mfa.Event) {
	s := ev.Session
	fmt.Fprintf(b, "  accounting %-20s  %-12s  %-15s  %-6s  login=%s", OrDash(ev.User.String(), 128), OrDash(ev.Client, 64),
		OrDash(ev.EndUser, 64), OrDash(s.Status, 16), OrDash(ev.ID, 64))
	for _, d := range []struct{ name, text string }{{"session", s.ID}, {"nas", s.NAS}, {"address", s.Address}} {
		if d.text != "" {
			fmt.Fprintf(b, "  %s=%s", d.name, OrDash(d.text, 128))
		}
	}
	if s.Duration > 0 || s.Status == "stop" {
		fmt.Fprintf(b, "  duration=%s  in=%d  out=%d", s.Duration, s.InOctets, s.OutOctets)
	}
	if s.Cause != "" {
		fmt.Fprintf(b, "  cause=%s", OrDash(s.Cause, 64))
	}
}

// eventDetails appends what not every login has.
func eventDetails(b *strings.Builder, ev *mfa.Event) {
	for _, d := range []struct{ name, text string }{
		{"method", ev.Method}, {"device", ev.Device}, {"token", ev.Token}, {"text", ev.Text},
	} {
		if d.text != "" {
			fmt.Fprintf(b, "  %s=%s", d.name, quoteSpaces(text.Printable(d.text, 300)))
		}
	}
	if ev.Tries > 0 {
		fmt.Fprintf(b, "  wrong_codes=%d", ev.Tries)
	}
	if ev.Count > 1 {
		fmt.Fprintf(b, "  times=%d", ev.Count)
	}
	if len(ev.Requests) > 1 {
		fmt.Fprintf(b, "  requests=%d", len(ev.Requests))
	}
}
