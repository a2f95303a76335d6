package web

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa/text"
)

// Places names the places of addresses by a database in the format of MaxMind
// (GeoLite2 City, DB-IP City Lite and the like). It is read into memory: a file
// that is mapped and shortened in place would end the program. A nil *Places
// knows none. Its methods may be called concurrently.
type Places struct {
	file string
	log  *zap.Logger
	db   atomic.Pointer[maxminddb.Reader]

	mu     sync.Mutex // held by the goroutine that looks at the file
	looked time.Time
	read   os.FileInfo // of the file that db is, or that could not be used
}

const (
	placesEvery = 10 * time.Second // the file is looked at while places are asked for
	maxPlaces   = 1 << 30          // octets of a database
)

// OpenPlaces reads a database. An error of the file later, when it was
// replaced, goes to log, and the old one stays.
func OpenPlaces(file string, log *zap.Logger) (*Places, error) {
	p := &Places{file: file, log: log, looked: time.Now()}
	return p, p.load()
}

// Kind says what the database is, for readers.
func (p *Places) Kind() string {
	m := p.db.Load().Metadata
	return fmt.Sprintf("%s of %s", text.Printable(m.DatabaseType, maxShown), time.Unix(int64(m.BuildEpoch), 0).UTC().Format(time.DateOnly))
}

// load reads the file as it is now. The caller holds the lock, or is the only one.
func (p *Places) load() error {
	before, err := os.Stat(p.file)
	if err != nil {
		return err
	}
	if before.Size() > maxPlaces {
		return fmt.Errorf("%s: larger than %d octets", p.file, maxPlaces)
	}
	content, err := os.ReadFile(p.file)
	if err != nil {
		return err
	}
	if after, err := os.Stat(p.file); err != nil || !unchanged(before, after) {
		return fmt.Errorf("%s: it changed while it was read", p.file) // the next look reads it again
	}
	p.read = before
	db, err := maxminddb.OpenBytes(content)
	if err != nil {
		return fmt.Errorf("%s: %w", p.file, err)
	}
	p.db.Store(db)
	return nil
}

func unchanged(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// renew reads the file again where it was replaced. No request waits for it.
func (p *Places) renew() {
	if !p.mu.TryLock() {
		return
	}
	if time.Since(p.looked) < placesEvery {
		p.mu.Unlock()
		return
	}
	p.looked = time.Now()
	go func() {
		defer p.mu.Unlock()
		now, err := os.Stat(p.file)
		if err == nil && p.read != nil && unchanged(p.read, now) || errors.Is(err, os.ErrNotExist) {
			return // or it is about to be replaced
		}
		if err := p.load(); err != nil {
			p.log.Warn("web: geoip_database cannot be read; the old one stays", zap.Error(err))
			return
		}
		p.log.Info("web: geoip_database was replaced", zap.String("database", p.Kind()))
	}()
}

// place is what is read of a record.
type place struct {
	City    named `maxminddb:"city"`
	Country named `maxminddb:"country"`
}

type named struct {
	Names struct {
		English string `maxminddb:"en"`
	} `maxminddb:"names"`
}

// Name returns city and country of an address, as far as they are known.
func (p *Places) Name(a netip.Addr) string {
	if p == nil || !a.IsValid() {
		return ""
	}
	p.renew()
	var at place
	if err := p.db.Load().Lookup(a.Unmap()).Decode(&at); err != nil {
		p.log.Debug("web: geoip_database has no answer", zap.Stringer("address", a), zap.Error(err))
		return ""
	}
	names := []string{at.City.Names.English, at.Country.Names.English}
	if names[0] == "" || names[0] == names[1] { // Singapore
		names = names[1:]
	}
	return text.Printable(strings.TrimSuffix(strings.Join(names, ", "), ", "), maxText)
}
