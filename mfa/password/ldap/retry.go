package ldap

import (
	"crypto/subtle"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/bound"
	"github.com/radmatch/radmatch/mfa/password"
)

// maxWrongHashes bounds the wrong passwords of one user that are remembered.
const maxWrongHashes = 4

// wrongHashes remembers the wrong passwords of the last seconds as NT hashes, so
// that an MS-CHAPv2 response that was made from one of them is refused without
// asking winbind: a FortiGate tries PAP and then MS-CHAPv2 with what a user
// typed once, and the domain would count it twice. It lives only in memory. Its
// methods may be called concurrently; its zero value is ready.
type wrongHashes struct {
	mu sync.Mutex
	of *bound.Cache[mfa.NameKey, []wrongHash] // by canonical name
}

type wrongHash struct {
	hash  password.NT
	err   error
	until time.Time
}

// learn notes that the directory has refused a password.
func (w *wrongHashes) learn(user mfa.Name, wrong string, err error, now time.Time) {
	hash, ok := password.NTOf(wrong)
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of == nil {
		w.of = bound.NewCache[mfa.NameKey, []wrongHash](maxRefusals, refusalTime)
	}
	name := user.Key()
	list, _ := w.of.Get(name, now)
	if len(list) == maxWrongHashes {
		list = list[1:]
	}
	w.of.Put(name, append(list[:len(list):len(list)], wrongHash{hash, err, now.Add(refusalTime)}), now)
}

// refuses returns the error of the password that a response was made from, nil
// where that is none of the wrong ones.
func (w *wrongHashes) refuses(of, sent mfa.Name, c mfa.MSCHAPv2, now time.Time) error {
	w.mu.Lock()
	list, _ := w.of.Get(of.Key(), now) // read-only
	w.mu.Unlock()
	for _, wrong := range list {
		if now.Before(wrong.until) && subtle.ConstantTimeCompare(wrong.hash.Response(responseName(sent, c), c), c.NTResponse[:]) == 1 {
			return wrong.err
		}
	}
	return nil
}
