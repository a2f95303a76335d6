package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/login"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/otp"
	"github.com/radmatch/radmatch/radius/wire"
)

// BenchmarkLogin is one login by password and passcode through the real engine,
// users file, verifier and store, 128 at once, without RADIUS: what of a login's
// time is not the network's.
func BenchmarkLogin(b *testing.B) {
	const users = 4096
	ctx := context.Background()
	dir := b.TempDir()
	st, err := store.Open(ctx, store.Options{Dir: filepath.Join(dir, "data"), Server: true})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	key := []byte("12345678901234567890")
	var file strings.Builder
	file.WriteString("users:\n")
	var tokens []otp.Token
	for i := range users {
		name := fmt.Sprintf("user%06d", i)
		fmt.Fprintf(&file, "  - {name: %s, password: \"{NT}%s\"}\n", name, rightHorse)
		t := otp.NewTOTP(mfa.NameOf(name))
		t.Secret = key
		tokens = append(tokens, t)
	}
	if _, err := st.AddTokens(ctx, tokens, mfa.Event{Details: mfa.Details{Text: "bench"}}); err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(dir, "users.yaml")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	primary, err := password.OpenFile(path, wire.StandardDictionary().ParseAttribute, password.NewGate())
	if err != nil {
		b.Fatal(err)
	}
	// Every user signs in once in each step of this clock.
	var logins atomic.Int64
	start := time.Now()
	clock := func(n int64) time.Time { return start.Add(time.Duration(n/users) * 30 * time.Second) }
	engine := &login.Engine{
		Pending:   &login.Pending{Journal: st, Ledger: st, Directory: st, Max: 50000, MaxPerClient: 50000},
		Limits:    &login.Limits{},
		Refusals:  &login.Refusals{Journal: st},
		Directory: st,
		Codes:     &otp.Verifier{Store: st, Now: func() time.Time { return clock(logins.Load()) }},
		Lockout:   login.Rule{Max: 10, Window: time.Minute, For: time.Minute},
	}
	st.Follow(engine.Apply)
	client := &mfa.Client{Name: "vpn", Group: "vpn", Prompts: true, Primary: primary, ChallengeTTL: time.Minute, RequireUserMatch: true}
	b.SetParallelism(64)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		decided := make(chan mfa.Decision, 1)
		reply := func(d mfa.Decision) { decided <- d }
		for pb.Next() {
			n := logins.Add(1)
			name := fmt.Sprintf("user%06d", n%users)
			r := &mfa.Request{Received: time.Now(), Client: client, User: mfa.NameOf(name), Cred: mfa.Password("right horse"), Dialog: client.Dialog(mfa.ProtocolPAP)}
			engine.Authenticate(ctx, r, reply)
			d := <-decided
			r = &mfa.Request{Received: time.Now(), Client: client, User: mfa.NameOf(name), State: d.State,
				Cred: mfa.Password(passcode(key, clock(n).Unix()/30)), Dialog: client.Dialog(mfa.ProtocolPAP)}
			engine.Authenticate(ctx, r, reply)
			if d := <-decided; d.Outcome != mfa.Accept {
				b.Errorf("login %d: got %v %v; want Outcome mfa.Accept", n, d.Outcome, d.Reason)
			}
		}
	})
}
