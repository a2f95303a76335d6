package otp

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/radmatch/radmatch/mfa/textfile"
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
// error means that the file cannot be read as such a file at all.
//
// Makers and spreadsheets change such files, and what they do is taken as it was
// meant: a byte order mark, UTF-16, Windows-1252, CR LF, other spellings and another order of the
// columns, further ones, semicolons or tabs for commas, "sep=;", rows that are one
// quoted field, fields like ="0123", blank lines and empty columns. What they have
// destroyed is an error of its row. A field cannot hold a line break, so that an
// unclosed quote spoils only its own line.
func ReadCSV(r io.Reader) ([]Row, []RowError, error) {
	file, err := textfile.ReadFrom(r, 0, maxCSV)
	if err == nil && !utf8.Valid(file) {
		file, err = charmap.Windows1252.NewDecoder().Bytes(file)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("file %w", err)
	}
	var (
		rows []Row
		bad  []RowError
		seen = seenRows{serials: map[string]int{}, secrets: map[string]int{}}
		tab  *table
		n    int
	)
	for line := range bytes.Lines(file) {
		n++
		switch line = bytes.TrimRight(line, "\n"); {
		case isBlank(line) || tab == nil && separatorLine.Match(line):
		case tab == nil:
			if tab, err = readHeader(line); err != nil {
				return nil, nil, fmt.Errorf("line %d: %w", n, err)
			}
		default:
			t, err := tab.token(line)
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
	if tab == nil {
		return nil, nil, fmt.Errorf("file is empty; the first line must be the header %q", CSVHeader)
	}
	return rows, bad, nil
}

// separatorLine tells Excel how the fields are separated; the header shows it too.
var separatorLine = regexp.MustCompile(`^\s*"?sep=.?"?\s*$`)

// isBlank reports whether a line has no field with anything in it.
func isBlank(line []byte) bool {
	return len(bytes.Trim(line, " \t,;\"")) == 0
}

// split splits one line and trims its fields.
func split(line []byte, separator rune) ([]string, error) {
	if len(line) > maxLine {
		return nil, fmt.Errorf("line is longer than %d bytes", maxLine)
	}
	r := csv.NewReader(bytes.NewReader(line))
	r.Comma = separator
	r.FieldsPerRecord = -1
	r.TrimLeadingSpace = separator != '\t'
	fields, err := r.Read()
	if err != nil {
		return nil, errors.New("a quoted field is not closed, or has a quote in it") // csv's error counts lines of its own
	}
	for i, f := range fields {
		fields[i] = plain(f)
	}
	// A row that a spreadsheet took for one cell.
	if len(fields) == 1 && strings.ContainsRune(fields[0], separator) && fields[0] != strings.TrimSpace(string(line)) {
		return split([]byte(fields[0]), separator)
	}
	return fields, nil
}

// plain takes off what spreadsheets put around a text to keep it one.
func plain(field string) string {
	field = strings.TrimFunc(field, func(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) })
	if inner, ok := strings.CutPrefix(field, `="`); ok {
		if inner, ok = strings.CutSuffix(inner, `"`); ok {
			return strings.TrimSpace(inner)
		}
	}
	return strings.TrimPrefix(field, "'")
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
