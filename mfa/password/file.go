package password

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"

	"github.com/radmatch/radmatch/mfa"
)

// FileSettings are the keys of a primary of type `file`.
type FileSettings struct {
	Path string `yaml:"path" first:"true" example:"users.yaml" doc:"The users file: users: [{name, password, groups, reply, disabled}]. Read at start and on SIGHUP."`
}

// File checks passwords against a users file. It is immutable; its methods may
// be called concurrently.
//
// Names are taken literally, in their form: a file has no domains, so
// CORP\alice and alice@example.org can sign in only where the file lists them
// so, and are other users than alice.
type File struct {
	users map[mfa.NameKey]*fileUser
	all   []*fileUser // in the order of the file
	gate  *Gate

	abilities mfa.Abilities
}

type fileUser struct {
	name     mfa.Name
	line     int
	hash     hash
	groups   []mfa.Group
	reply    []mfa.Attribute
	disabled bool
}

var (
	_ mfa.PasswordChecker = (*File)(nil)
	_ mfa.IdentityFinder  = (*File)(nil)
)

// ErrWrongPassword: the password is not the user's, or cannot be anybody's.
var ErrWrongPassword = fmt.Errorf("wrong password: %w", mfa.ErrRejected)

// The texts tell the log what the answer to the user does not.
var (
	errUnknownUser = UnknownUser("no such user in the users file")
	errNoNTHash    = fmt.Errorf("MS-CHAPv2 needs an {NT} hash in the users file: %w", mfa.ErrUnsupported)
	errCredential  = fmt.Errorf("the users file checks only PAP and MS-CHAPv2: %w", mfa.ErrUnsupported)
)

// Check implements mfa.PasswordChecker. A slow hash waits its turn at the Gate:
// an error that is neither ErrRejected nor ErrUnsupported, ErrBusy among them,
// means that it did not get one.
func (f *File) Check(ctx context.Context, user mfa.Name, cred mfa.Credential) (mfa.Identity, error) {
	if err := ctx.Err(); err != nil {
		return mfa.Identity{}, err
	}
	switch c := cred.(type) {
	case mfa.Password:
		return f.checkPassword(ctx, user, string(c))
	case mfa.MSCHAPv2:
		return f.checkMSCHAPv2(user, c)
	default:
		return mfa.Identity{}, errCredential
	}
}

// Find implements mfa.IdentityFinder.
func (f *File) Find(_ context.Context, user mfa.Name) (mfa.Identity, error) {
	u := f.users[user.Key()]
	if u == nil {
		return mfa.Identity{}, errUnknownUser
	}
	return u.identity(), nil
}

// FindName returns the file's spelling of the name. It is always sure.
func (f *File) FindName(_ context.Context, typed mfa.Name) (name mfa.Name, sure bool, err error) {
	u := f.users[typed.Key()]
	if u == nil {
		return mfa.Name{}, false, errUnknownUser
	}
	return u.name, true, nil
}

// FindNamed is FindName: in a file, users sign in with the name that they have.
func (f *File) FindNamed(ctx context.Context, name mfa.Name) (mfa.Name, bool, error) {
	return f.FindName(ctx, name)
}

// Lists implements Member: a file has no domains.
func (f *File) Lists(string) bool { return false }

// Len is the number of users.
func (f *File) Len() int { return len(f.all) }

// Abilities implements mfa.PasswordChecker.
func (f *File) Abilities() mfa.Abilities { return f.abilities }

func newFile(gate *Gate) *File {
	f := &File{users: map[mfa.NameKey]*fileUser{}, gate: gate}
	f.abilities = mfa.Abilities{
		Finder: f, FromMemory: true,
		Knows: func(name mfa.Name) bool { return f.users[name.Key()] != nil },
		Names: func(yield func(mfa.Name) bool) {
			for _, u := range f.all {
				if !yield(u.name) {
					return
				}
			}
		},
	}
	return f
}

// Identities yields the users, with all that a login of theirs would have.
func (f *File) Identities() iter.Seq[mfa.Identity] {
	return func(yield func(mfa.Identity) bool) {
		for _, u := range f.all {
			if !yield(u.identity()) {
				return
			}
		}
	}
}

// CheckReplies calls check once for each list of reply attributes, and returns
// what it finds with the line of the first user who has that list, as OpenFile does.
func (f *File) CheckReplies(path string, check func([]mfa.Attribute) error) error {
	var found []error
	seen := map[*mfa.Attribute]bool{}
	for i, u := range f.all {
		if len(u.reply) == 0 || seen[&u.reply[0]] {
			continue
		}
		seen[&u.reply[0]] = true
		if err := check(u.reply); err != nil && len(found) < maxProblems {
			found = append(found, fmt.Errorf("%s:%d: users[%d].reply: %w", path, u.line, i, err))
		}
	}
	return errors.Join(found...)
}

func (f *File) checkPassword(ctx context.Context, user mfa.Name, password string) (mfa.Identity, error) {
	if password == "" || len(password) > MaxPassword {
		return mfa.Identity{}, ErrWrongPassword
	}
	u := f.users[user.Key()]
	timed := u
	if u == nil {
		timed = f.standIn(user)
	}
	if timed == nil {
		return mfa.Identity{}, errUnknownUser // an empty file has no user to hide
	}
	right, err := f.match(ctx, timed.hash, password)
	switch {
	case err != nil:
		return mfa.Identity{}, err
	case u == nil:
		return mfa.Identity{}, errUnknownUser // even if it is the stand-in's password
	case !right:
		return mfa.Identity{}, &mfa.UserError{User: u.name, Err: ErrWrongPassword}
	}
	return u.identity(), nil
}

func (f *File) match(ctx context.Context, h hash, password string) (bool, error) {
	if !h.slow() {
		return h.match(password), nil
	}
	if err := f.gate.Enter(ctx); err != nil {
		return false, fmt.Errorf("users file: %w", err)
	}
	defer f.gate.Leave()
	return h.match(password), nil
}

func (f *File) checkMSCHAPv2(user mfa.Name, c mfa.MSCHAPv2) (mfa.Identity, error) {
	u := f.users[user.Key()]
	var h NT // of no user: the same work for an unknown user
	hasNT := false
	if u != nil {
		h, hasNT = u.hash.(NT)
	}
	name, right := h.matchMSCHAPv2(c.NameOf(user), c)
	switch {
	case u == nil:
		return mfa.Identity{}, errUnknownUser
	case !hasNT:
		return mfa.Identity{}, errNoNTHash
	case !right:
		return mfa.Identity{}, &mfa.UserError{User: u.name, Err: ErrWrongPassword}
	}
	id := u.identity()
	id.MSCHAP = h.keys(name)
	return id, nil
}

func (u *fileUser) identity() mfa.Identity {
	return mfa.Identity{Name: u.name, Known: true, Disabled: u.disabled, Groups: u.groups, Attributes: u.reply}
}

// standIn is the user whose hash is computed for a name that is not in the
// file: always the same one for a name, so that unknown names take the times
// that the users of this file take, and none can be told by trying it twice.
func (f *File) standIn(name mfa.Name) *fileUser {
	if len(f.all) == 0 {
		return nil
	}
	return f.all[maphash.String(f.gate.seed, name.Key().String())%uint64(len(f.all))]
}
