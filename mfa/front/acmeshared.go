package front

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme/autocert"
)

// Certificates keeps account keys, certificates and challenges for all servers of a site: each
// answers what the authority asks another, and finds what another has renewed. Its methods may
// be called concurrently.
type Certificates interface {
	// Certificate returns what is kept under a name, nil for nothing.
	Certificate(ctx context.Context, name string) ([]byte, error)
	// KeepCertificate keeps data under a name; nil removes it.
	KeepCertificate(ctx context.Context, name string, data []byte) error
	// CertificateNames are those under which something is kept.
	CertificateNames(ctx context.Context) ([]string, error)
	// MayOrder reports whether this server asks an authority now: one does at a time, for
	// some minutes.
	MayOrder(ctx context.Context, authority string) (bool, error)
}

const (
	// namesAge is how old the names may be by which challenges are looked for. Any unknown
	// caller can ask for one: they cost so many queries, and no more.
	namesAge = 250 * time.Millisecond
	// lookTime bounds a look.
	lookTime = 3 * time.Second
)

// sharedCache is Certificates as the manager wants them, apart for each authority.
type sharedCache struct {
	certificates Certificates
	prefix       string

	mu    sync.Mutex
	names []string
	read  time.Time
}

// Get implements autocert.Cache.
func (c *sharedCache) Get(ctx context.Context, key string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	if isChallenge(key) && !c.has(ctx, c.prefix+key) {
		return nil, autocert.ErrCacheMiss
	}
	data, err := c.certificates.Certificate(ctx, c.prefix+key)
	if err == nil && data == nil {
		err = autocert.ErrCacheMiss
	}
	return data, err
}

// isChallenge reports whether a key is one that the manager asks for because a caller does.
func isChallenge(key string) bool {
	return strings.HasSuffix(key, "+token") || strings.HasSuffix(key, "+http-01")
}

// has looks whether something is kept under a name.
func (c *sharedCache) has(ctx context.Context, name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.read) > namesAge {
		names, err := c.certificates.CertificateNames(ctx)
		if err != nil {
			names = nil
		}
		c.names, c.read = names, time.Now()
	}
	return slices.Contains(c.names, name)
}

// Put implements autocert.Cache.
func (c *sharedCache) Put(ctx context.Context, key string, data []byte) error {
	return c.certificates.KeepCertificate(ctx, c.prefix+key, data)
}

// Delete implements autocert.Cache.
func (c *sharedCache) Delete(ctx context.Context, key string) error {
	return c.certificates.KeepCertificate(ctx, c.prefix+key, nil)
}
