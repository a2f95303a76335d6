package front

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/radmatch/radmatch/mfa/textfile"
)

// TLSConfig is for a front door that browsers of today use: TLS 1.2 and 1.3 with
// Go's ciphers, HTTP/1.1 as NewHTTPServer has it. Certificates come from get.
func TLSConfig(get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: get, NextProtos: []string{"http/1.1"}}
}

// lookEvery is how often handshakes look whether the files have changed.
const lookEvery = time.Second

// maxPEM is the most that is read of a certificate or key, in octets.
const maxPEM = 1 << 20

// errExpired keeps a new pair from replacing one that is still good.
var errExpired = errors.New("the certificate has expired")

// KeyPair is a certificate and its key in files, which are read again when they
// change. Whatever replaces them renames one after the other, so that for a
// moment they do not fit: what cannot be used leaves the pair before it in use.
// Its methods may be called concurrently.
type KeyPair struct {
	certFile, keyFile string
	log               *zap.Logger
	now               func() time.Time

	mu     sync.Mutex
	pair   *tls.Certificate // in use
	stamps [2]stamp         // of the files that were tried last
	failed string           // what was wrong with them, empty if nothing
	looked time.Time
}

// OpenKeyPair reads the files. A certificate that has expired is used, and said:
// devices refuse it, but who signs in with a passcode needs none.
func OpenKeyPair(certFile, keyFile string, log *zap.Logger) (*KeyPair, error) {
	if log == nil {
		log = zap.NewNop()
	}
	k := &KeyPair{certFile: certFile, keyFile: keyFile, log: log, now: time.Now}
	k.stamps, k.looked = k.look(), k.now()
	pair, err := ReadKeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	k.take(pair)
	if k.now().After(pair.Leaf.NotAfter) {
		log.Error("web: the certificate has expired: devices refuse it", zap.String("file", certFile), zap.Time("expired", pair.Leaf.NotAfter))
	}
	return k, nil
}

// Certificate is for tls.Config.GetCertificate. At most once a second it looks
// whether the files have changed.
func (k *KeyPair) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := k.now(); now.Sub(k.looked) >= lookEvery {
		k.looked = now
		// What failed is tried again: a file may have been read half written.
		if stamps := k.look(); stamps != k.stamps || k.failed != "" {
			k.stamps = stamps
			k.reread()
		}
	}
	return k.pair, nil
}

// Reload reads the files now, changed or not.
func (k *KeyPair) Reload() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stamps, k.looked, k.failed = k.look(), k.now(), ""
	k.reread()
}

// reread takes the pair in the files if it can be used. The caller holds the lock.
func (k *KeyPair) reread() {
	pair, err := ReadKeyPair(k.certFile, k.keyFile)
	if now := k.now(); err == nil && now.After(pair.Leaf.NotAfter) && !now.After(k.pair.Leaf.NotAfter) {
		err = fmt.Errorf("%s: %w", k.certFile, errExpired)
	}
	if err != nil {
		if k.failed != err.Error() { // once, not every second
			k.log.Error("web: the certificate cannot be used, the old one stays", zap.Error(err), zap.Time("old expires", k.pair.Leaf.NotAfter))
		}
		k.failed = err.Error()
		return
	}
	k.failed = ""
	if !pair.Leaf.Equal(k.pair.Leaf) {
		k.take(pair)
	}
}

func (k *KeyPair) take(pair *tls.Certificate) {
	k.pair = pair
	k.log.Info("web: certificate", zap.String("file", k.certFile), zap.Strings("names", pair.Leaf.DNSNames), zap.Time("expires", pair.Leaf.NotAfter))
}

// stamp tells one state of a file from the next. A file that is renamed into
// place has another inode, one that is written in place another time.
type stamp struct {
	device, inode uint64
	size          int64
	changed       unix.Timespec
}

// look returns the stamps of both files; of one that is not there, the zero value.
func (k *KeyPair) look() (stamps [2]stamp) {
	for i, file := range []string{k.certFile, k.keyFile} {
		var st unix.Stat_t
		if unix.Stat(file, &st) == nil {
			stamps[i] = stamp{uint64(st.Dev), st.Ino, st.Size, st.Ctim}
		}
	}
	return stamps
}

// ReadKeyPair reads a certificate with its chain and the key that belongs to it.
// Its Leaf is set. No error shows what is in the files.
func ReadKeyPair(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := textfile.Read(certFile, maxPEM)
	if err != nil {
		return nil, err
	}
	key, err := textfile.Read(keyFile, maxPEM)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s with the key %s: %w", certFile, keyFile, err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, fmt.Errorf("%s: %w", certFile, err)
		}
	}
	return &pair, nil
}
