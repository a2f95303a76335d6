package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/radius/wire"
)

// BenchmarkNodeDecision is how long the answer to a packet takes after the decision of a device
// that is connected to the same node, and to the other one: `make bench-cluster`.
func BenchmarkNodeDecision(b *testing.B) {
	nodes, _, _ := startNodesWith(b, postgrestest.Start(b), "fatigue: {total: 10000}\n", "vpn-a", "vpn-b")
	phone := enrollAt(nodes[1])
	for _, at := range []struct {
		name string
		node *serverProcess
	}{{"same-node", nodes[1]}, {"other-node", nodes[0]}} {
		b.Run(at.name, func(b *testing.B) {
			nas := at.node.nasSocket("127.0.0.1")
			var took []time.Duration
			for b.Loop() {
				held := nas.start(signIn("alice", "198.51.100.7"))
				shown := phone.prompt()
				begun := time.Now()
				phone.decide(shown, device.ActionApprove, "")
				nas.gets(held, wire.AccessAccept)
				took = append(took, time.Since(begun))
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
			b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
		})
	}
}
