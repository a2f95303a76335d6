package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// bareLDAP is the least that a client of a directory can do, to know what the
// directory allows: it searches and binds on connections that stay open, and looks
// at nothing but DN and result code. It has no library, no pool, no timeouts.
type bareLDAP struct {
	conn io.ReadWriteCloser
	r    *bufio.Reader
	id   uint32
}

func dialBare(address string, config *tls.Config) (*bareLDAP, error) {
	c, err := tls.Dial("tcp", address, config)
	if err != nil {
		return nil, err
	}
	return &bareLDAP{conn: c, r: bufio.NewReader(c)}, nil
}

// ber encodes one element (X.690 §8.1).
func ber(tag byte, content ...string) string {
	body := strings.Join(content, "")
	if len(body) < 0x80 {
		return string([]byte{tag, byte(len(body))}) + body
	}
	return string(binary.BigEndian.AppendUint16([]byte{tag, 0x82}, uint16(len(body)))) + body
}

// send writes one message with a new id.
func (c *bareLDAP) send(op string) error {
	c.id++
	id := ber(0x02, string(binary.BigEndian.AppendUint32(nil, c.id&0x7fffffff)))
	_, err := io.WriteString(c.conn, ber(0x30, id, op))
	return err
}

// receive reads one message and returns the tag and the content of its operation.
func (c *bareLDAP) receive() (tag byte, op []byte, err error) {
	_, message, err := element(c.r)
	if err != nil {
		return 0, nil, err
	}
	r := strings.NewReader(string(message))
	if _, _, err := element(r); err != nil { // the message id
		return 0, nil, err
	}
	return element(r)
}

type elementReader interface {
	io.Reader
	io.ByteReader
}

func element(r elementReader) (tag byte, content []byte, err error) {
	if tag, err = r.ReadByte(); err != nil {
		return 0, nil, err
	}
	first, err := r.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	n := int(first)
	if first >= 0x80 {
		n = 0
		for range first & 0x7f {
			b, err := r.ReadByte()
			if err != nil || n > 1<<16 {
				return 0, nil, errors.Join(errors.New("a long element"), err)
			}
			n = n<<8 | int(b)
		}
	}
	content = make([]byte, n)
	_, err = io.ReadFull(r, content)
	return tag, content, err
}

// ldapResult demands success of the operation with this tag (RFC 4511 §4.1.9).
func ldapResult(tag, want byte, op []byte) error {
	_, code, err := element(strings.NewReader(string(op)))
	switch {
	case err != nil:
		return err
	case tag != want || len(code) != 1 || code[0] != 0:
		return fmt.Errorf("operation %#x has result %v", tag, code)
	}
	return nil
}

func (c *bareLDAP) bind(dn, password string) error {
	if err := c.send(ber(0x60, ber(0x02, "\x03"), ber(0x04, dn), ber(0x80, password))); err != nil {
		return err
	}
	tag, op, err := c.receive()
	if err != nil {
		return err
	}
	return ldapResult(tag, 0x61, op)
}

// equals and either are filters (RFC 4511 §4.5.1.7).
func equals(attribute, value string) string { return ber(0xa3, ber(0x04, attribute), ber(0x04, value)) }

func either(filters ...string) string { return ber(0xa1, filters...) }

// search returns the DN of the last entry that matches, and asks for one attribute.
func (c *bareLDAP) search(base, filter, attribute string) (dn string, err error) {
	err = c.send(ber(0x63, ber(0x04, base), ber(0x0a, "\x02"), ber(0x0a, "\x00"), ber(0x02, "\x02"), ber(0x02, "\x00"), ber(0x01, "\x00"),
		filter, ber(0x30, ber(0x04, attribute))))
	for err == nil {
		var tag byte
		var op []byte
		if tag, op, err = c.receive(); err != nil {
			break
		}
		if tag != 0x64 {
			return dn, ldapResult(tag, 0x65, op)
		}
		var name []byte
		if _, name, err = element(strings.NewReader(string(op))); err == nil {
			dn = string(name)
		}
	}
	return "", err
}
