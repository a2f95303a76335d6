package otp

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// CSVHeader is the first line of Entra's upload of OATH tokens.
const CSVHeader = "upn,serial number,secret key,time interval,manufacturer,model"

const (
	maxCSV  = 16 << 20 // bytes; some 150,000 tokens
	maxLine = 4096
)

// Row is one token of a file and the line that it stands in.
type Row struct {
	Line  int
	Token Token
}

// RowError is what is wrong with one line. It does not repeat a secret.
type RowError struct {
	Line    int
	Problem string
}

// ReadCSV reads a file of OATH tokens in Entra's form: CSVHeader, then a token a
// line. It returns the good rows and what is wrong with each of the others. The
// error means that the file cannot be read as such a file at all. A byte order
// mark, CRLF, blank lines, quoted fields, spaces around a field and a header in
// any case are accepted; a field cannot hold a line break, so that an unclosed
// quote spoils its own line alone.
func ReadCSV(r io.Reader) ([]Row, []RowError, error) {
	file, err := io.ReadAll(io.LimitReader(r, maxCSV+1))
	if err != nil {
		return nil, nil, err
	}
	if len(file) > maxCSV {
		return nil, nil, fmt.Errorf("file is larger than %d MiB", maxCSV>>20)
	}
	var (
		rows   []Row
		bad    []RowError
		seen   = seenRows{serials: map[string]int{}, secrets: map[string]int{}}
		header bool
		n      int
	)
	for line := range bytes.Lines(bytes.TrimPrefix(file, []byte("\ufeff"))) {
		n++
		switch line = bytes.TrimSpace(line); {
		case len(line) == 0:
		case !header:
			if header = isHeader(line); !header {
				return nil, nil, fmt.Errorf("line %d: must be the header %q, separated by commas", n, CSVHeader)
			}
		default:
			t, err := parseRow(line)
			if err == nil {
				err = seen.add(n, &t)
			}
			if err != nil {
				bad = append(bad, RowError{Line: n, Problem: err.Error()})
				continue
			}
			rows = append(rows, Row{Line: n, Token: t})
		}
	}
	if !header {
		return nil, nil, fmt.Errorf("file is empty; the first line must be the header %q", CSVHeader)
	}
	return rows, bad, nil
}

func isHeader(line []byte) bool {
	fields, err := splitRow(line)
	return err == nil && strings.EqualFold(strings.Join(fields, ","), CSVHeader)
}

// splitRow splits one line and trims its fields.
func splitRow(line []byte) ([]string, error) {
	if len(line) > maxLine {
		return nil, fmt.Errorf("line is longer than %d bytes", maxLine)
	}
	r := csv.NewReader(bytes.NewReader(line))
	r.FieldsPerRecord = -1
	r.TrimLeadingSpace = true
	fields, err := r.Read()
	if err != nil {
		return nil, errors.New("a quoted field is not closed, or has a quote in it") // csv's error counts lines of its own
	}
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	return fields, nil
}

// parseRow reads one token.
func parseRow(line []byte) (Token, error) {
	f, err := splitRow(line)
	if err != nil {
		return Token{}, err
	}
	if len(f) != 6 {
		return Token{}, fmt.Errorf("must have 6 fields; got %d", len(f))
	}
	t := newToken(f[0], TOTP)
	t.Serial, t.Algorithm, t.Digits = f[1], SHA1, 6 // Entra has no other
	if t.Serial == "" {
		return Token{}, errors.New("serial number is empty")
	}
	if t.Secret, err = ParseSecret(f[2]); err != nil {
		return Token{}, err
	}
	switch f[3] {
	case "30":
		t.Period = 30
	case "60":
		t.Period = 60
	default:
		return Token{}, fmt.Errorf("time interval must be 30 or 60; got %.20q", f[3])
	}
	t.Label = strings.TrimSpace(f[4] + " " + f[5])
	return t, t.Validate()
}

// seenRows finds what stands in a file twice. A secret that two tokens share
// would let the holder of one sign in as the other.
type seenRows struct{ serials, secrets map[string]int }

func (s seenRows) add(line int, t *Token) error {
	serial, secret := strings.ToLower(t.Serial), string(t.Secret)
	if n := s.serials[serial]; n > 0 {
		if s.secrets[secret] == n {
			return fmt.Errorf("the same token as in line %d", n)
		}
		return fmt.Errorf("serial number %.40q stands in line %d already", t.Serial, n)
	}
	if n := s.secrets[secret]; n > 0 {
		return fmt.Errorf("the same secret as in line %d", n)
	}
	s.serials[serial], s.secrets[secret] = line, line
	return nil
}
