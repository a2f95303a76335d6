package main

import (
	"errors"
	"fmt"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/radius/wire"
)

// openDictionary returns the attributes that the configuration may name.
func openDictionary(cfg *config.Config) (*wire.Dictionary, error) {
	if cfg.Dictionaries == "" {
		return wire.StandardDictionary(), nil
	}
	d, err := wire.OpenDictionaries(cfg.Resolve(cfg.Dictionaries))
	if err != nil {
		return nil, fmt.Errorf("%s: must be a folder of dictionaries:\n%w", cfg.Where("dictionaries"), err)
	}
	return d, nil
}

// groupReplies encodes the reply attributes of groups. The error has every
// problem, each with its line.
func groupReplies(entries []config.GroupReply, d *wire.Dictionary) ([]mfa.GroupReply, error) {
	var replies []mfa.GroupReply
	var all []mfa.Attribute
	var found []error
	for _, e := range entries {
		g := mfa.GroupReply{Group: mfa.GroupOf(e.Group)}
		for _, r := range e.Reply {
			a, err := d.ParseAttribute(r.Name, r.Value)
			if err != nil {
				found = append(found, fmt.Errorf("%s: %w", r.Where, err))
				continue
			}
			g.Attributes, all = append(g.Attributes, a), append(all, a)
		}
		replies = append(replies, g)
	}
	if err := wire.CheckReply(all); err != nil && len(found) == 0 {
		// Someone may be in all of the groups.
		found = append(found, fmt.Errorf("%s: the attributes of all groups together: %w", entries[0].Reply[0].Where, err))
	}
	return replies, errors.Join(found...)
}

// checkAttributes says what is wrong with the dictionaries and the reply
// attributes of groups, each problem once, and what a dictionary has in vain.
func (a *app) checkAttributes(cfg *config.Config) error {
	d, err := openDictionary(cfg)
	if err != nil {
		a.findError(err, "")
		return &exitError{code: exitConfig}
	}
	said := map[string]bool{}
	say := func(entries []config.GroupReply) {
		if _, err := groupReplies(entries, d); err != nil && !said[err.Error()] {
			said[err.Error()] = true
			a.findError(err, "")
		}
	}
	say(cfg.MFA.GroupReplies)
	for i := range cfg.Clients {
		say(cfg.Clients[i].MFA.GroupReplies)
	}
	if len(said) > 0 {
		return &exitError{code: exitConfig}
	}
	if cfg.Dictionaries != "" {
		a.find(foundOK, "dictionaries "+cfg.Resolve(cfg.Dictionaries),
			fmt.Sprintf("%d attributes with those that are built in, %d of which no answer can carry", d.Len(), len(d.Unsendable())), "")
	}
	return nil
}

// warnReplies warns of clients that cannot be sent the reply attributes of a user in
// a users file, with those of the user's groups. What other primaries have for a user
// only a login shows.
func (a *app) warnReplies(cfg *config.Config) {
	d, err := openDictionary(cfg)
	if err != nil {
		return // said before
	}
	files := map[string]*password.File{}
	for _, p := range cfg.Primaries {
		if s, ok := p.Settings.(*password.FileSettings); ok {
			if f, err := password.OpenFile(cfg.Resolve(s.Path), d.ParseAttribute, password.NewGate()); err == nil {
				files[p.Name] = f
			}
		}
	}
	for i := range cfg.Clients {
		c := &cfg.Clients[i]
		profile, err := newProfile(c)
		replies, bad := groupReplies(c.MFA.GroupReplies, d)
		if err != nil || bad != nil || files[c.Primary] == nil || len(replies) == 0 && profile.MaxAnswer == 0 {
			continue // the users file alone was measured when it was read
		}
		policy := &mfa.Client{GroupReplies: replies}
		first, count := "", 0
		for identity := range files[c.Primary].Identities() {
			if err := profile.Fits(policy.Reply(&identity)); err != nil {
				if count++; count == 1 {
					first = fmt.Sprintf("%s: %v", identity.Name, err)
				}
			}
		}
		if count > 0 {
			a.find(foundWarning, "client "+c.Name, fmt.Sprintf("the reply attributes of %d users cannot be sent, their logins are rejected (%s): %s",
				count, mfa.ReasonReplyTooLong, first), "")
		}
	}
}
