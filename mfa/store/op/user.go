package op

import (
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/otp"
)

// Block blocks a user and ends their invitations. A user who is not enrolled is added:
// every name can be blocked.
type Block struct{ User mfa.Name }

// Unblock lifts all that keeps a user out: the block, and every "this was not me". It ends
// the user's invitations, which a block by "this was not me" leaves. What other keys of the
// name hold, from before names had a form, is removed.
type Unblock struct {
	User mfa.Name
	At   time.Time // wrong codes and denials from before are forgotten
}

// SetDefaultMethod sets the method that a user is asked for; "" means what follows from
// the registered ones.
type SetDefaultMethod struct {
	User   mfa.Name
	Method mfa.Method
}

// AddTokens registers tokens, whose secrets are sealed on the way. One that the user has
// already (otp.ErrDuplicate), or that is one too many (otp.ErrTooMany), is left out, see
// Done.Refused; with none left it is ErrNothing. The codes of a token that was
// registered before and removed stay used.
type AddTokens struct{ Tokens []otp.Token }

// RemovePasses removes the Temporary Access Passes of a user. There may be none.
type RemovePasses struct{ User mfa.Name }

// RemoveToken removes the user's token with this id or serial number, and keeps how far it
// was used. otp.ErrNoToken where there is none.
type RemoveToken struct {
	User       mfa.Name
	IDOrSerial string
}

// SyncToken uses up the steps of a token up to Use.Step and keeps its drift.
// otp.ErrUsed where a login has used that one, or the one before it.
type SyncToken struct{ Use otp.Use }

func (o Block) Users() []mfa.Name            { return one(o.User) }
func (o Unblock) Users() []mfa.Name          { return one(o.User) }
func (o SetDefaultMethod) Users() []mfa.Name { return one(o.User) }
func (o RemovePasses) Users() []mfa.Name     { return one(o.User) }
func (o RemoveToken) Users() []mfa.Name      { return one(o.User) }
func (o SyncToken) Users() []mfa.Name        { return one(o.Use.User) }

// Users are the owners of the tokens.
func (o AddTokens) Users() []mfa.Name {
	users := make([]mfa.Name, len(o.Tokens))
	for i := range o.Tokens {
		users[i] = o.Tokens[i].User
	}
	return users
}
