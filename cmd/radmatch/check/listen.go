package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/radmatch/radmatch/cmd/radmatch/serve"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/store/datadir"
)

// noteOwner says for whom the outcome of a check holds, where data_dir is another user's.
func (k *checker) noteOwner(cfg *config.Config) {
	if info, err := os.Stat(cfg.DataDir); err == nil && !serve.OwnFolder(info) {
		k.find(foundNote, "", "data_dir "+cfg.DataDir+" belongs to another user, and only that user can serve there: run check as that user too", "")
	}
}

// checkListen tries each address for a moment. One that the running server of this
// data_dir holds is left alone.
func (k *checker) checkListen(ctx context.Context, cfg *config.Config) (failed bool) {
	running, _ := datadir.ReadServing(cfg.DataDir)
	for _, l := range serve.Listens(cfg) {
		if running != nil && running.Holds(l.Network, l.Address) {
			k.find(foundOK, l.Key+" "+l.Address, fmt.Sprintf("in use by the running server, process %d", running.PID), "")
			continue
		}
		if err := tryListen(ctx, l); err != nil {
			failed = true
			k.find(foundError, cfg.Where(l.Key), fmt.Sprintf("cannot be listened on: %v", err), serve.ListenHint(err, l.Key))
		}
	}
	return failed
}

// tryListen opens what the server would open, and closes it.
func tryListen(ctx context.Context, l serve.ListenKey) error {
	host, port, err := net.SplitHostPort(l.Address)
	if err != nil {
		return err
	}
	hosts, network := []string{host}, l.Network
	if host == "" && network == "udp" {
		hosts = []string{"0.0.0.0", "::"}
	}
	for i, host := range hosts {
		if network == "udp" { // one socket for each family, as the server has them
			l.Network = "udp4"
			if strings.Contains(host, ":") {
				l.Network = "udp6"
			}
		}
		at := net.JoinHostPort(host, port)
		if network == "udp" {
			var c net.PacketConn
			if c, err = (&net.ListenConfig{}).ListenPacket(ctx, l.Network, at); err == nil {
				c.Close()
			}
		} else {
			var c net.Listener
			if c, err = (&net.ListenConfig{}).Listen(ctx, network, at); err == nil {
				c.Close()
			}
		}
		if err != nil && (i == 0 || !errors.Is(err, syscall.EAFNOSUPPORT)) {
			return err
		}
	}
	return nil
}
