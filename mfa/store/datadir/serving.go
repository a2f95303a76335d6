package datadir

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// servingFile holds what the server says of itself. It counts only while that server
// holds the lock.
const servingFile = "serving.json"

// Serving is what a running server tells commands about itself.
type Serving struct {
	PID     int      `json:"pid"`
	Listens []string `json:"listens"`           // network and address, as the configuration had them at the start
	Reloads int      `json:"reloads"`           // how many there were, good or bad
	Clients int      `json:"clients"`           // in the configuration that is served
	Node    string   `json:"node,omitempty"`    // what it is called among others
	Program string   `json:"program,omitempty"` // its version
	Config  string   `json:"config,omitempty"`  // config.Config.Fingerprint
	// Keys are the names of the sealing keys that it has (seal.Ring.Names).
	Keys []string `json:"keys,omitempty"`
	// Problems is why the last reload changed nothing, Restart which keys it leaves
	// to the next start.
	Problems []string `json:"problems,omitempty"`
	Restart  []string `json:"restart,omitempty"`
}

// Holds reports whether the server has the port of an address.
func (v *Serving) Holds(network, address string) bool {
	_, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" {
		return false
	}
	for _, l := range v.Listens {
		if strings.HasPrefix(l, network+" ") && strings.HasSuffix(l, ":"+port) {
			return true
		}
	}
	return false
}

// Announce writes v down for commands. It is advice: after a crash it is not believed.
func Announce(dir string, v Serving) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	next := filepath.Join(dir, servingFile+".new")
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := OpenFile(next)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(next, filepath.Join(dir, servingFile))
}

// ReadServing returns what the server that works in dir says of itself, nil where
// none works there or it is not ready.
func ReadServing(dir string) (*Serving, error) {
	pid, ok := Holder(filepath.Join(dir, LockFile))
	if !ok {
		return nil, nil
	}
	b, err := os.ReadFile(filepath.Join(dir, servingFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var v Serving
	if err := json.Unmarshal(b, &v); err != nil || v.PID != pid || pid == 0 {
		return nil, err // of a server before
	}
	return &v, nil
}
