package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store"
)

// The aims of 20,000 waiting pushes.
const (
	maxResident = 400 // MiB
	maxBeside   = 2.0 // p99 of passcodes beside them, of what it is without
)

const (
	besideInFlight = 16
	besideLogins   = 10_000
	besideRuns     = 3
	openLimit      = 20 * time.Second // for all pushes to be open
	holdPushes     = 3 * time.Minute
)

// waitingPushes opens a push for each user with a device, nobody decides, and
// passcode logins run beside them.
func (b *bench) waitingPushes(ctx context.Context) error {
	start := time.Now()
	if _, err := b.addDevices(ctx); err != nil {
		return err
	}
	b.note("%d push devices registered in %.1f s", b.pushes, time.Since(start).Seconds())
	s, err := b.startRadmatch(ctx)
	if err != nil {
		return err
	}
	defer s.kill() // nothing will be decided: no need to wait for the drain
	b.header()
	without, err := b.passcodes(ctx, s)
	if err != nil {
		return err
	}
	hold, letGo := context.WithCancel(ctx)
	pushes := make(chan error, 1)
	go func() {
		_, err := b.send(hold, s, load{mode: "push", inFlight: b.pushes, logins: b.pushes, skip: b.users - b.pushes, duration: holdPushes})
		pushes <- err
	}()
	defer func() {
		letGo()
		<-pushes
	}()
	select {
	case err := <-pushes:
		pushes <- nil
		return fmt.Errorf("the pushes ended early: %w", err)
	case <-time.After(openLimit):
	}
	idle, err := s.resident()
	if err != nil {
		return err
	}
	beside, err := b.passcodes(ctx, s)
	if err != nil {
		return err
	}
	loaded, err := s.resident()
	if err != nil {
		return err
	}
	ratio := beside / without
	b.note("%d waiting pushes: %.0f MiB resident, %.0f beside passcodes: %s", b.pushes, idle, loaded, reached(max(idle, loaded), maxResident))
	b.note("passcode p99 with %d in flight: %.2f ms without, %.2f ms beside them, ratio %.2f: %s", besideInFlight, without, beside, ratio, reached(ratio, maxBeside))
	return nil
}

// passcodes returns the median p99 of some runs with passcodes.
func (b *bench) passcodes(ctx context.Context, s *server) (float64, error) {
	var p99 []float64
	for i := range besideRuns {
		l := load{mode: "totp", inFlight: besideInFlight, logins: min(b.perLevel(), besideLogins), skip: i * b.perLevel(), duration: roomInStep}
		r, err := b.run(ctx, s, l)
		if err != nil {
			return 0, err
		}
		p99 = append(p99, r.P99)
	}
	return median(p99), nil
}

// addDevices gives a device to each of the last users. They all have one key,
// which it returns.
func (b *bench) addDevices(ctx context.Context) (*ecdsa.PrivateKey, error) {
	st, err := store.Open(ctx, store.Options{Dir: b.path("radmatch", "data")})
	if err != nil {
		return nil, err
	}
	defer st.Close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	now := time.Now()
	for i := b.users - b.pushes; i < b.users; i++ {
		user := userName(i)
		hash := sha256.Sum256([]byte(user))
		err := st.Invite(ctx, device.Invitation{Hash: hash, User: mfa.NameOf(user), Expires: now.Add(time.Hour)}, mfa.Event{Kind: mfa.EventAdmin, Origin: mfa.Origin{User: mfa.NameOf(user)}, Details: mfa.Details{Text: "benchmark"}})
		if err != nil {
			return nil, err
		}
		if _, err := st.Enroll(ctx, hash, device.Device{ID: "bench-" + user, Name: "phone", Key: der, Version: 1, Added: now, Seen: now}); err != nil {
			return nil, err
		}
	}
	return key, nil
}
