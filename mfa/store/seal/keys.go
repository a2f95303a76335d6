package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/textfile"
)

// File is the key file in data_dir.
const File = "seal.key"

// maxKeyFile is the most that is read of the key file: 255 keys and remarks.
const maxKeyFile = 64 << 10

// ErrEnvironment means that the keys are in an environment variable, which no program changes.
var ErrEnvironment = errors.New("the keys are in the environment: add a line to its value, or take one out, where it is set")

// Keys is where the keys are kept, and what was read of them.
type Keys struct {
	// Name is what errors call it.
	Name string
	// Shared means that others may have the same keys: they are not in data_dir.
	Shared bool

	path string // of the file; empty: text holds them
	text string
	read atomic.Pointer[Ring]
}

// NewKeys are in the file of data_dir, which is one server's own.
func NewKeys(dir string) *Keys { return &Keys{Name: File, path: filepath.Join(dir, File)} }

// KeysAt are in a file that nodes may share.
func KeysAt(path string) *Keys { return &Keys{Name: path, Shared: true, path: path} }

// KeysIn are in the value of an environment variable: the lines of a key file, which commas may
// part.
func KeysIn(variable, value string) *Keys {
	return &Keys{Name: "environment variable " + variable, Shared: true, text: strings.ReplaceAll(value, ",", "\n")}
}

// Ring is what was read last, nil before.
func (f *Keys) Ring() *Ring { return f.read.Load() }

// With returns a ring that has key id; the file is read again where what was read has not.
func (f *Keys) With(id byte) (*Ring, error) {
	if f.read.Load().aeads[id] == nil {
		if err := f.Load(); err != nil {
			return nil, err
		}
	}
	return f.read.Load(), nil
}

// Exist reports whether there are any.
func (f *Keys) Exist() (bool, error) {
	if f.path == "" {
		return f.text != "", nil
	}
	return datadir.Exists(f.path)
}

// Add puts a new key into the file. Nothing uses it yet.
func (f *Keys) Add() (id byte, err error) {
	err = f.change(func(old *Ring) (map[byte][]byte, error) {
		raw := maps.Clone(old.raw)
		for id = old.Newest() + 1; id == 0 || raw[id] != nil; id++ {
			if len(raw) >= 100 {
				return nil, errors.New("there are a hundred keys: take those out that nothing is sealed with")
			}
		}
		raw[id] = RandomKey()
		return raw, nil
	})
	if err != nil {
		return 0, err
	}
	return id, f.Load()
}

// Retain takes all keys but these out of the file. The caller keeps everybody from sealing
// meanwhile.
func (f *Keys) Retain(ids []byte) error {
	return f.change(func(old *Ring) (map[byte][]byte, error) {
		raw := make(map[byte][]byte)
		for _, id := range ids {
			if old.raw[id] == nil {
				return nil, fmt.Errorf("no key %d", id)
			}
			raw[id] = old.raw[id]
		}
		if len(raw) == len(old.raw) {
			return nil, nil
		}
		return raw, nil
	})
}

// change replaces the keys in the file by what next makes of them; nil: they stay. One process
// at a time does so.
func (f *Keys) change(next func(old *Ring) (map[byte][]byte, error)) error {
	if f.path == "" {
		return ErrEnvironment
	}
	dir, err := os.Open(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	old, err := f.OnDisk()
	if err != nil {
		return err
	}
	raw, err := next(old)
	if err != nil || raw == nil {
		return err
	}
	ring, err := NewRing(raw)
	if err != nil {
		return err
	}
	return f.replace(ring)
}

// Create makes the key file with a first key, unless another process does so at this moment.
func (f *Keys) Create() error {
	if f.path == "" {
		return fmt.Errorf("%s is not set", f.Name)
	}
	k, err := NewRing(map[byte][]byte{1: RandomKey()})
	if err != nil {
		return err
	}
	temp, err := f.tempFile(k.Marshal())
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	if err := os.Link(temp, f.path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return datadir.Sync(filepath.Dir(f.path))
}

// replace writes the key file anew, whole or not at all. Those who can read it stay the same.
func (f *Keys) replace(k *Ring) error {
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	temp, err := f.tempFile(k.Marshal())
	if err != nil {
		return err
	}
	if f.Shared {
		err = giveAs(temp, info)
	}
	if err == nil {
		err = os.Rename(temp, f.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return datadir.Sync(filepath.Dir(f.path))
}

// giveAs gives a file owner, group and mode of another.
func giveAs(path string, of fs.FileInfo) error {
	if st, ok := of.Sys().(*syscall.Stat_t); ok && (int(st.Uid) != os.Geteuid() || int(st.Gid) != os.Getegid()) {
		if err := os.Lchown(path, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(path, of.Mode().Perm()&0o660)
}

// tempFile writes a synced file (0600) beside the key file.
func (f *Keys) tempFile(content []byte) (path string, err error) {
	file, err := os.CreateTemp(filepath.Dir(f.path), "."+filepath.Base(f.path)+"-*")
	if err != nil {
		return "", err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), nil
}

// OnDisk reads the key file, or the value of the environment variable.
func (f *Keys) OnDisk() (*Ring, error) {
	if f.path == "" {
		return parse([]byte(f.text), f.Name)
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&0o007 != 0 {
		return nil, fmt.Errorf("%s can be used by everybody (mode %04o): chmod 600", f.path, info.Mode().Perm())
	}
	text, err := textfile.Read(f.path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	return parse(text, f.Name)
}

// Load reads the keys. Those that were read before stay known.
func (f *Keys) Load() error {
	k, err := f.OnDisk()
	if err != nil {
		return err
	}
	if old := f.read.Load(); old != nil {
		all := maps.Clone(old.raw)
		maps.Copy(all, k.raw)
		if k, err = NewRing(all); err != nil {
			return err
		}
	}
	f.read.Store(k)
	return nil
}
