package otp

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/radmatch/radmatch/mfa"
)

// column is what a column of the file holds.
type column int

const (
	colUser column = iota
	colSerial
	colSecret
	colInterval
	colMaker
	colModel
	colHex // the secret, in hexadecimal
	colAlgorithm
	colDigits
	colKind
	columns
)

// columnNames are the headers of makers and tools, without what is not a letter or
// a digit. The first of each column is Entra's.
var columnNames = [columns][]string{
	colUser:      {"upn", "userprincipalname", "user", "username", "loginname"},
	colSerial:    {"serialnumber", "serial", "serialno", "serialnum", "serialnr", "sn", "tokenserial", "tokenserialnumber"},
	colSecret:    {"secretkey", "secret", "seed", "secretbase32", "secretkeybase32", "seedbase32", "base32secret", "base32seed", "tokenseed"},
	colInterval:  {"timeinterval", "interval", "timestep", "period", "timeintervalinseconds", "timeintervalseconds", "timeintervalsec", "timeintervals", "intervalseconds"},
	colMaker:     {"manufacturer", "vendor", "maker", "manufacturername"},
	colModel:     {"model", "tokenmodel", "product", "modelname"},
	colHex:       {"secretkeyhex", "secrethex", "seedhex", "hexsecret", "hexseed"},
	colAlgorithm: {"hashfunction", "algorithm", "hash", "hashalgorithm"},
	colDigits:    {"digits", "otplength", "codelength", "otpdigits"},
	colKind:      {"type", "tokentype", "otptype", "oathtype", "otpmode", "mode"},
}

// table is how the rows of one file are read.
type table struct {
	separator rune
	at        [columns]int // where a column stands; -1: nowhere
	width     int          // of the header
}

// readHeader reads the first line, whichever separator it has.
func readHeader(line []byte) (*table, error) {
	for _, separator := range []rune{',', ';', '\t'} {
		fields, err := split(line, separator)
		if err != nil || len(fields) < 2 {
			continue
		}
		return newTable(fields, separator)
	}
	switch text := strings.TrimSpace(string(line)); {
	case strings.HasPrefix(text, "<"):
		return nil, errors.New("the file is XML, such as PSKC: ask the maker for Entra's CSV")
	case strings.HasPrefix(text, "{"), strings.HasPrefix(text, "["):
		return nil, errors.New("the file is JSON: ask the maker for Entra's CSV")
	}
	return nil, fmt.Errorf("must be the header %q", CSVHeader)
}

func newTable(fields []string, separator rune) (*table, error) {
	t := &table{separator: separator}
	for c := range t.at {
		t.at[c] = -1
	}
	for i, f := range fields {
		if f != "" {
			t.width = i + 1
		}
		c, ok := columnOf(f)
		switch {
		case !ok:
		case t.at[c] >= 0:
			return nil, fmt.Errorf("column %q is there twice", columnNames[c][0])
		default:
			t.at[c] = i
		}
	}
	if t.at[colSecret] >= 0 && t.at[colHex] >= 0 {
		return nil, errors.New("the secret is there in two columns: remove one")
	}
	var missing []string
	for c, name := range map[column]string{colUser: "upn", colSerial: "serial number", colSecret: "secret key", colInterval: "time interval"} {
		if t.at[c] < 0 && !(c == colSecret && t.at[colHex] >= 0) {
			missing = append(missing, name)
		}
	}
	switch len(missing) {
	case 0:
		return t, nil
	case 1:
		return nil, fmt.Errorf("must be the header %q; there is no column %q", CSVHeader, missing[0])
	}
	return nil, fmt.Errorf("must be the header %q", CSVHeader)
}

// columnOf finds the column of a header, which may say more in brackets.
func columnOf(header string) (column, bool) {
	name := strings.Map(func(r rune) rune {
		if r = unicode.ToLower(r); r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, header)
	for c, names := range columnNames {
		for _, n := range names {
			if n == name {
				return column(c), true
			}
		}
	}
	return 0, false
}

// scientific is what a spreadsheet makes of a long number.
var scientific = regexp.MustCompile(`^[0-9]+([.,][0-9]+)?[Ee][+-][0-9]+$`)

// counts is how a file calls a token that has a counter in place of a clock.
var counts = regexp.MustCompile(`(?i)hotp|event|counter`)

// token reads one row.
func (t *table) token(line []byte) (Token, error) {
	fields, err := split(line, t.separator)
	if err != nil {
		return Token{}, err
	}
	for i := t.width; i < len(fields); i++ {
		if fields[i] != "" {
			return Token{}, fmt.Errorf("must have %d fields; got %d", t.width, len(fields))
		}
	}
	get := func(c column) string {
		if at := t.at[c]; at >= 0 && at < len(fields) {
			return fields[at]
		}
		return ""
	}
	if counts.MatchString(get(colKind)) {
		return Token{}, fmt.Errorf("the token counts (%.20q), and such files are of tokens with a clock: radmatch totp add --hotp", get(colKind))
	}
	if strings.ContainsRune(get(colUser), utf8.RuneError) {
		return Token{}, errors.New("the user has a character that is damaged: save the file as UTF-8")
	}
	o := newToken(mfa.NameOf(get(colUser)), TOTP)
	o.Serial = get(colSerial)
	switch {
	case o.Serial == "":
		return Token{}, errors.New("serial number is empty")
	case scientific.MatchString(o.Serial):
		return Token{}, fmt.Errorf("serial number %.40q was rounded by a spreadsheet: take it from the maker's file", o.Serial)
	}
	if o.Secret, err = parseSeed(get(colSecret), get(colHex)); err != nil {
		return Token{}, err
	}
	if o.Period, err = parseInterval(get(colInterval)); err != nil {
		return Token{}, err
	}
	if o.Algorithm, err = parseAlgorithm(get(colAlgorithm)); err != nil {
		return Token{}, err
	}
	if o.Digits, err = parseDigits(get(colDigits)); err != nil {
		return Token{}, err
	}
	o.Label = strings.TrimSpace(get(colMaker) + " " + get(colModel))
	return o, o.Validate()
}

// parseSeed reads the secret from the column that there is. Its errors do not
// repeat it.
func parseSeed(base32, hexadecimal string) ([]byte, error) {
	if scientific.MatchString(base32 + hexadecimal) {
		return nil, errors.New("the secret was rounded by a spreadsheet: take it from the maker's file")
	}
	if hexadecimal != "" {
		secret, err := hex.DecodeString(strings.NewReplacer(" ", "", ":", "", "-", "").Replace(hexadecimal))
		if err != nil || len(secret) < minSecret || len(secret) > maxBase32*5/8 {
			return nil, fmt.Errorf("the secret is not hexadecimal of %d to %d bytes", minSecret, maxBase32*5/8)
		}
		return secret, nil
	}
	secret, err := ParseSecret(base32)
	if err != nil && len(base32) >= 2*minSecret {
		if _, no := hex.DecodeString(base32); no == nil {
			err = errors.New("the secret is hexadecimal, not base32: call its column \"secret key hex\"")
		}
	}
	return secret, err
}

// interval is a number of seconds as users and spreadsheets write it.
var interval = regexp.MustCompile(`^([0-9]{1,4})([.,]0+)? ?(?i:s|sec|secs|second|seconds)?\.?$`)

func parseInterval(s string) (int, error) {
	if m := interval.FindStringSubmatch(s); m != nil && (m[1] == "30" || m[1] == "60") {
		return strconv.Atoi(m[1])
	}
	return 0, fmt.Errorf("time interval must be 30 or 60; got %.20q", s)
}

// parseAlgorithm reads the hash function as Entra and apps call it: hmacsha1, SHA-1.
func parseAlgorithm(s string) (string, error) {
	name := strings.ToUpper(strings.NewReplacer("-", "", "_", "", " ", "").Replace(s))
	switch name = strings.TrimPrefix(name, "HMAC"); name {
	case "":
		return SHA1, nil // Entra's CSV has no other
	case SHA1, SHA256, SHA512:
		return name, nil
	}
	return "", fmt.Errorf("hash function must be SHA1, SHA256 or SHA512; got %.20q", s)
}

func parseDigits(s string) (int, error) {
	switch s {
	case "", "6":
		return 6, nil
	case "8":
		return 8, nil
	}
	return 0, fmt.Errorf("digits must be 6 or 8; got %.20q", s)
}
