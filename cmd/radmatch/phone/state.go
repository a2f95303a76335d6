package phone

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/mfa/device"
)

// phoneState is the file in which `radmatch phone` keeps its device. The version
// of the device protocol is not in it: a newer program speaks a newer one with
// the same key.
type phoneState struct {
	Format int    `json:"format"`
	Server string `json:"server"`
	Device string `json:"device"`
	User   string `json:"user"`
	Name   string `json:"name"`
	Key    []byte `json:"key"` // PKCS #8
}

const phoneFormat = 1

// defaultPhoneFile is phone.json in the user's configuration directory.
func defaultPhoneFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", console.UsageError("--state FILE", "no place for the phone's key: %w", err)
	}
	return filepath.Join(dir, "radmatch", "phone.json"), nil
}

func loadPhone(file string) (*device.Phone, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, console.WithHint("radmatch phone enroll LINK", fmt.Errorf("phone: not enrolled: %s is not there", file))
	}
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		return nil, console.WithHint("chmod 600 "+file, fmt.Errorf("phone: %s holds a key and others can read it", file))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var st phoneState
	if err := json.Unmarshal(text, &st); err != nil || st.Format != phoneFormat {
		return nil, console.WithHint("radmatch phone enroll LINK --force", fmt.Errorf("phone: %s is not a phone's file", file))
	}
	k, err := x509.ParsePKCS8PrivateKey(st.Key)
	key, ok := k.(*ecdsa.PrivateKey)
	if err != nil || !ok || key.Curve != elliptic.P256() {
		return nil, console.WithHint("radmatch phone enroll LINK --force", fmt.Errorf("phone: %s holds no P-256 key", file))
	}
	return &device.Phone{Server: st.Server, Device: st.Device, User: st.User, Name: st.Name, Version: device.MaxVersion, Key: key}, nil
}

// reservePhone makes sure, before the invitation is used up, that the key can be
// written to file. save writes it there; discard undoes what is not saved.
func reservePhone(file string, force bool) (save func(*device.Phone) error, discard func(), err error) {
	if _, err := os.Lstat(file); err == nil && !force {
		return nil, nil, console.WithHint("--force replaces it, --state FILE adds another", fmt.Errorf("phone: already enrolled: %s is there", file))
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, nil, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".phone-*") // 0600
	if err != nil {
		return nil, nil, err
	}
	discard = func() {
		_ = tmp.Close()
		_ = os.Remove(tmp.Name()) // gone when it was saved
	}
	save = func(p *device.Phone) error {
		key, err := x509.MarshalPKCS8PrivateKey(p.Key)
		if err != nil {
			return err
		}
		st := phoneState{Format: phoneFormat, Server: p.Server, Device: p.Device, User: p.User, Name: p.Name, Key: key}
		text, err := json.MarshalIndent(st, "", "  ")
		if err != nil {
			return err
		}
		if _, err := tmp.Write(append(text, '\n')); err != nil {
			return err
		}
		if err := tmp.Sync(); err != nil {
			return err
		}
		return os.Rename(tmp.Name(), file)
	}
	return save, discard, nil
}
