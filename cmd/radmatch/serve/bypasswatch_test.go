package serve

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/radmatch/radmatch/mfa"
)

// bypassFake is a store with bypasses that a test puts there.
type bypassFake struct {
	mu   sync.Mutex
	list []mfa.Bypass
	err  error
}

func (f *bypassFake) set(list ...mfa.Bypass) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = list
}

func (f *bypassFake) Bypasses() []mfa.Bypass {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.list
}

func (f *bypassFake) TendBypasses(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// logLines collects a log.
type logLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

// take returns how many lines there were with each text since the last call.
func (l *logLines) take(texts ...string) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := make([]int, len(texts))
	for i, text := range texts {
		n[i] = strings.Count(l.b.String(), text)
	}
	l.b.Reset()
	return n
}

func TestBypassIsLoud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, out := new(bypassFake), new(logLines)
		log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(out), zap.InfoLevel))
		staff := mfa.Bypass{ID: 1, Group: mfa.GroupOf("staff"), Reason: "INC-4711", Operator: "root"}
		admins := mfa.Bypass{ID: 2, Group: mfa.GroupOf("admins"), Client: "vpn", Reason: "drill", Operator: "root"}
		st.set(staff)
		ctx, stop := context.WithCancel(t.Context())
		go watchBypasses(ctx, st, log)
		want := func(when string, begun, over, failed int) {
			t.Helper()
			synctest.Wait()
			if n := out.take("is in force", "has ended:", "cannot record"); n[0] != begun || n[1] != over || n[2] != failed {
				t.Errorf("%s: got %d in force, %d over, %d failed; want %d, %d, %d", when, n[0], n[1], n[2], begun, over, failed)
			}
		}
		want("at the start", 1, 0, 0)
		time.Sleep(2 * time.Second)
		want("once said", 0, 0, 0)
		st.set(staff, admins)
		time.Sleep(2 * time.Second)
		want("a second one", 1, 0, 0)
		time.Sleep(5 * time.Minute)
		want("after five minutes", 2, 0, 0)
		st.set(admins)
		time.Sleep(2 * time.Second)
		want("one is over", 0, 1, 0)
		st.mu.Lock()
		st.err = errors.New("disk full")
		st.mu.Unlock()
		time.Sleep(10 * time.Second)
		want("the disk is full", 0, 0, 1)
		st.set()
		time.Sleep(time.Hour)
		want("none", 0, 1, 0)
		stop()
		synctest.Wait()
	})
}
