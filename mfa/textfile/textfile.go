// Package textfile reads what users write with an editor: configuration,
// secrets, certificates, lists. Editors, spreadsheets and shells put a byte order
// mark before a text, end its lines in their own way and leave blanks behind; some
// write UTF-16. None of that is part of the text. The package knows nothing of
// what a file means.
package textfile

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxSecret = 64 << 10 // octets of a file with a secret
	maxPEM    = 1 << 20  // and of one with certificates
)

var (
	errKind   = errors.New("must be a file")
	errUTF16  = errors.New("is UTF-16 that is damaged: save it as UTF-8")
	errBinary = errors.New("is not text: save it as UTF-8")
	errOne    = errors.New("must hold one line, the secret")
)

// Read reads a regular file (a pipe would hold up its reader) of at most most
// octets, as Clean leaves it. Its error begins with the file's name, and
// wraps what the operating system said.
func Read(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, named(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", path, errKind)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, named(path, err)
	}
	defer f.Close()
	data, err := ReadFrom(f, min(info.Size(), most), most)
	return data, named(path, err)
}

// ReadFrom is Read for what is open. size is what is expected, at least 0.
func ReadFrom(r io.Reader, size, most int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(size) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(r, most+1)); err != nil {
		return nil, err
	}
	if int64(b.Len()) > most {
		return nil, fmt.Errorf("must be at most %s", sizeText(most))
	}
	return Clean(b.Bytes())
}

func sizeText(n int64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

// named puts the file's name before an error, once.
func named(path string, err error) error {
	var known *fs.PathError
	if errors.As(err, &known) {
		err = known.Err
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return err
}

// Clean returns text without a byte order mark, in UTF-8 where the mark says
// UTF-16, and with lines that end in LF. A text that has no mark and is not UTF-8 stays
// as it is, but not with a NUL in it, which no editor writes. The text may be
// written to.
func Clean(text []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(text, []byte("\xef\xbb\xbf")):
		text = text[3:]
	case bytes.HasPrefix(text, []byte("\xff\xfe")):
		return fromUTF16(text[2:], binary.LittleEndian)
	case bytes.HasPrefix(text, []byte("\xfe\xff")):
		return fromUTF16(text[2:], binary.BigEndian)
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, errBinary
	}
	return unixLines(text), nil
}

func fromUTF16(text []byte, order binary.ByteOrder) ([]byte, error) {
	if len(text)%2 != 0 {
		return nil, errUTF16
	}
	units := make([]uint16, len(text)/2)
	for i := range units {
		units[i] = order.Uint16(text[2*i:])
	}
	out := make([]byte, 0, len(text))
	for _, r := range utf16.Decode(units) {
		if r == 0 || r == utf8.RuneError {
			return nil, errUTF16
		}
		out = utf8.AppendRune(out, r)
	}
	return unixLines(bytes.TrimPrefix(out, []byte("\ufeff"))), nil
}

// unixLines turns CR LF and a lone CR into LF, in place.
func unixLines(text []byte) []byte {
	i := bytes.IndexByte(text, '\r')
	if i < 0 {
		return text
	}
	out := text[:i]
	for ; i < len(text); i++ {
		c := text[i]
		if c == '\r' {
			if c = '\n'; i+1 < len(text) && text[i+1] == '\n' {
				i++
			}
		}
		out = append(out, c)
	}
	return out
}

// Secrets reads a file that holds a secret a line. Blanks around a line and blank
// lines are not part of them.
func Secrets(path string) ([]string, error) {
	text, err := Read(path, maxSecret)
	if err != nil {
		return nil, err
	}
	return SecretLines(text), nil
}

// SecretLines returns the secrets in a text that is clean.
func SecretLines(text []byte) (secrets []string) {
	for line := range strings.Lines(string(text)) {
		if s := strings.TrimFunc(line, invisible); s != "" {
			secrets = append(secrets, s)
		}
	}
	return secrets
}

// Secret reads a file that holds one secret and nothing else.
func Secret(path string) (string, error) {
	secrets, err := Secrets(path)
	if err != nil {
		return "", err
	}
	if len(secrets) != 1 {
		return "", fmt.Errorf("%s: %w", path, errOne)
	}
	return secrets[0], nil
}

// invisible reports whether nobody sees r at the end of a line: blanks, and the
// marks that come with a paste.
func invisible(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// Roots reads certificates of authorities in PEM.
func Roots(path string) (*x509.CertPool, error) {
	pem, err := Read(path, maxPEM)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: holds no certificate in PEM", path)
	}
	return roots, nil
}
