package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store"
)

// The aims of waiting pushes.
const (
	maxResident     = 400  // MiB, with 20,000 of them
	maxManyResident = 1229 // MiB, with 100,000: 1.2 GiB
	maxBeside       = 2.0  // p99 of passcodes beside them, of what it is without
)

const (
	besideInFlight = 16
	besideLogins   = 10_000
	besideRuns     = 3
	openRate       = 4000            // pushes a second
	openLimit      = 5 * time.Second // for the last of them to be open
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
	if err := b.allowPushes(); err != nil {
		return err
	}
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
		_, err := b.send(hold, s, load{mode: "push", rate: openRate, logins: b.pushes, skip: b.users - b.pushes, duration: holdPushes})
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
	case <-time.After(time.Duration(b.pushes)*time.Second/openRate + openLimit):
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
	most := float64(maxResident)
	if b.pushes > 20_000 {
		most = maxManyResident
	}
	b.note("%d waiting pushes: %.0f MiB resident, %.0f beside passcodes: %s", b.pushes, idle, loaded, reached(max(idle, loaded), most))
	b.note("passcode p99 with %d in flight: %.2f ms without, %.2f ms beside them, ratio %.2f: %s", besideInFlight, without, beside, ratio, reached(ratio, maxBeside))
	return nil
}

// allowPushes raises the limits where the usual ones are for fewer.
func (b *bench) allowPushes() error {
	if b.pushes <= 20_000 {
		return nil
	}
	conf, err := os.ReadFile(b.path("radmatch", "radmatch.yaml"))
	if err != nil {
		return err
	}
	limits := fmt.Sprintf("limits: {pending: %d, pending_per_client: %d}\n", 2*b.pushes, 3*b.pushes/2)
	return os.WriteFile(b.path("radmatch", "radmatch.yaml"), append(conf, limits...), 0o600)
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
