package accounting

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

// classPrefix begins every Class of ours, to tell it from those that the user's
// reply attributes or another server gave.
const classPrefix = "radmatch."

// classMAC is how many octets of its MAC a Class carries.
const classMAC = 12

// ClassOf is the value of the Class attribute by which the sessions of a login
// name it (RFC 2865 §5.25): readable ASCII, because some devices take it for text.
// It is bound to the client's group, so that no other NAS can ascribe a session to
// the login, even one that has seen the Class.
func ClassOf(key []byte, group, login string) string {
	return classPrefix + login + "." + base64.RawURLEncoding.EncodeToString(classSum(key, group, login))
}

func classSum(key []byte, group, login string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(group))
	h.Write([]byte{0})
	h.Write([]byte(login))
	return h.Sum(nil)[:classMAC]
}

// LoginOfClass returns the id of the login that a Class names, empty for a
// Class that is not ours.
func LoginOfClass(key []byte, group string, class []byte) string {
	rest, ours := bytes.CutPrefix(class, []byte(classPrefix))
	login, text, whole := bytes.Cut(rest, []byte("."))
	if !ours || !whole || len(login) == 0 {
		return ""
	}
	sum, err := base64.RawURLEncoding.DecodeString(string(text))
	if err != nil || !hmac.Equal(sum, classSum(key, group, string(login))) {
		return ""
	}
	return string(login)
}
