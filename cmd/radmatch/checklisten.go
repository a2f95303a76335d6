package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/store/datadir"
)

// noteOwner says for whom the outcome of a check holds, where data_dir is another user's.
func (k *checker) noteOwner(cfg *config.Config) {
	if info, err := os.Stat(cfg.DataDir); err == nil && !own(info) {
		k.find(foundNote, "", "data_dir "+cfg.DataDir+" belongs to another user, and only that user can serve there: run check as that user too", "")
	}
}

// checkListen tries each address for a moment. One that the running server of this
// data_dir holds is left alone.
func (k *checker) checkListen(ctx context.Context, cfg *config.Config) (failed bool) {
	running, _ := datadir.ReadServing(cfg.DataDir)
	for _, l := range listens(cfg) {
		if running != nil && running.Holds(l.network, l.address) {
			k.find(foundOK, l.key+" "+l.address, fmt.Sprintf("in use by the running server, process %d", running.PID), "")
			continue
		}
		if err := tryListen(ctx, l); err != nil {
			failed = true
			k.find(foundError, cfg.Where(l.key), fmt.Sprintf("cannot be listened on: %v", err), listenHint(err, l.key))
		}
	}
	return failed
}

// tryListen opens what the server would open, and closes it.
func tryListen(ctx context.Context, l listenKey) error {
	host, port, err := net.SplitHostPort(l.address)
	if err != nil {
		return err
	}
	hosts, network := []string{host}, l.network
	if host == "" && network == "udp" {
		hosts = []string{"0.0.0.0", "::"}
	}
	for i, host := range hosts {
		if network == "udp" { // one socket for each family, as the server has them
			l.network = "udp4"
			if strings.Contains(host, ":") {
				l.network = "udp6"
			}
		}
		at := net.JoinHostPort(host, port)
		if network == "udp" {
			var c net.PacketConn
			if c, err = (&net.ListenConfig{}).ListenPacket(ctx, l.network, at); err == nil {
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
