package load

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Secret is a secret that the file has as a text. It does not print.
type Secret string

// Secrets is one secret, or a list of them.
type Secrets []Secret

const redacted = "[redacted]"

// String, GoString and MarshalText keep a secret out of logs and errors.
func (Secret) String() string               { return redacted }
func (Secret) GoString() string             { return redacted }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Pair is one name with a value, where both are the operator's own.
type Pair struct {
	Name  string
	Value string
	Where string `json:"-"` // FILE:LINE: key.path
}

// Pairs are named values as the file has them: a section whose keys are the names
// and whose values are one value or a list of them, or a list of such sections.
type Pairs []Pair

// Size is a number of octets.
type Size int64

var sizeUnits = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

// String is the size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.size == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.size, u.name)
		}
	}
	return "0B"
}

// The types of values that are not told by their kind.
var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
	secretType   = reflect.TypeFor[Secret]()
	secretsType  = reflect.TypeFor[Secrets]()
	pairsType    = reflect.TypeFor[Pairs]()
)

// parse turns the text of a scalar into a value of type t. Its error is a rule
// ("must be …") and does not repeat the text, which may be a secret.
func parse(t reflect.Type, text string) (any, error) {
	switch t {
	case durationType:
		return parseDuration(text)
	case sizeType:
		return parseSize(text)
	case prefixType:
		return ParsePrefix(text)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return parse(t.Elem(), text)
	case reflect.Bool:
		switch text {
		case "true", "True", "TRUE":
			return true, nil
		case "false", "False", "FALSE":
			return false, nil
		}
		return nil, errors.New("must be true or false")
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, errors.New("must be a whole number")
		}
		return n, nil
	case reflect.String:
		return reflect.ValueOf(text).Convert(t).Interface(), nil
	}
	panic("load: internal error: no text form of " + t.String())
}

// parseDuration is time.ParseDuration that knows days.
func parseDuration(text string) (time.Duration, error) {
	errForm := errors.New("must be a duration such as 55s, 3m, 12h or 180d")
	var total time.Duration
	if days, rest, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, errForm
		}
		total = time.Duration(n) * 24 * time.Hour
		if text = rest; text == "" {
			return total, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > math.MaxInt64-total {
		return 0, errForm
	}
	return total + d, nil
}

func parseSize(text string) (Size, error) {
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err == nil && n >= 0 && n <= math.MaxInt64/u.size {
			return Size(n * u.size), nil
		}
		break
	}
	return 0, errors.New("must be a size such as 500MiB or 2GiB")
}

// ParsePrefix reads an IP or a prefix. It refuses what could mean two things:
// bits behind the prefix length, zones, and IPv4 written as IPv6, which no
// packet's source would ever equal.
func ParsePrefix(text string) (netip.Prefix, error) {
	errForm := errors.New("must be an IP address or a prefix such as 203.0.113.0/24")
	if a, err := netip.ParseAddr(text); err == nil {
		if a.Is4In6() || a.Zone() != "" {
			return netip.Prefix{}, errForm
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, errForm
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("must have no bits set behind the prefix length; did you mean %s", p.Masked())
	}
	return p, nil
}

// ShowDuration is a duration as the documentation prints it.
func ShowDuration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= day && d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}
