package ldap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/ldap/conn"
	"github.com/radmatch/radmatch/mfa/text"
)

var (
	errNoNTLM    = fmt.Errorf("MS-CHAPv2 of a directory needs ntlm_auth: %w", mfa.ErrUnsupported)
	errNoAccount = fmt.Errorf("the entry has no sAMAccountName, so that winbind cannot be asked: %w", mfa.ErrUnsupported)
)

// checkMSCHAPv2 lets the directory say who is meant by a name and winbind whether
// the response is right for just that account: what winbind would make of the
// name, an alternate one for example, could be someone else.
func (p *Primary) checkMSCHAPv2(ctx context.Context, user mfa.Name, c mfa.MSCHAPv2) (mfa.Identity, error) {
	if p.ntlm == nil {
		return mfa.Identity{}, errNoNTLM
	}
	name, err := p.settings.parseLogin(user.String())
	if err != nil {
		return mfa.Identity{}, err
	}
	limited, cancel := p.limit(ctx)
	defer cancel()
	found, err := p.find(limited, name)
	if err != nil {
		return mfa.Identity{}, p.of(name, err)
	}
	if err := p.wrong.refuses(found.name, user, c, time.Now()); err != nil {
		return mfa.Identity{}, err
	}
	account := found.entry.Values("sAMAccountName")
	if len(account) != 1 {
		return mfa.Identity{}, errNoAccount
	}
	keys, err := p.ntlm.Check(ctx, conn.DNSDomainOf(found.entry.DN), account[0], responseName(user, c), c)
	if errors.Is(err, mfa.ErrRejected) {
		err = &mfa.UserError{User: found.name, Err: err}
	}
	if err != nil {
		return mfa.Identity{}, err
	}
	limited, cancel = p.limit(ctx) // the time that winbind took is its own
	defer cancel()
	id, err := p.identity(limited, found)
	if err != nil {
		return mfa.Identity{}, err
	}
	id.MSCHAP = keys
	return id, nil
}

// responseName is the name that a client computes its response with: without
// DOMAIN\ (RFC 2759 §4). To try the whole name too, for clients that do
// otherwise, would be a second wrong password for the domain to count.
func responseName(user mfa.Name, c mfa.MSCHAPv2) string {
	return text.WithoutNTDomain(c.NameOf(user))
}
