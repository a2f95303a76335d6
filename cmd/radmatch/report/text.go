package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa/text"
)

// YesNo is a bool for readers.
func YesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// NASTimeout is a NAS timeout for readers.
func NASTimeout(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return d.Round(100 * time.Millisecond).String()
}

// Few is a list of names for a line of text: the first ones.
func Few(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// quoteSpaces keeps a text of the network from looking like more than one.
func quoteSpaces(s string) string {
	if strings.ContainsAny(s, ` "=`) {
		return strconv.Quote(s)
	}
	return s
}

// OrDash is a text of the network, cut to most runes, or - for none.
func OrDash(s string, most int) string {
	if s == "" {
		return "-"
	}
	return quoteSpaces(text.Printable(s, most))
}

// roundTo keeps some three digits of a duration.
func roundTo(d time.Duration) time.Duration {
	unit := time.Nanosecond
	for d >= 1000 {
		d, unit = d/10, unit*10
	}
	return unit
}
