package check

import (
	"fmt"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
)

// checkAttributes says what is wrong with the dictionaries and the reply
// attributes of groups, each problem once, and what a dictionary has in vain.
func (k *checker) checkAttributes(cfg *config.Config) error {
	d, err := providers.OpenDictionary(cfg)
	if err != nil {
		k.findError(err, "")
		return &console.ExitError{Code: console.ExitConfig}
	}
	said := map[string]bool{}
	say := func(entries []config.GroupReply) {
		if _, err := providers.GroupReplies(entries, d); err != nil && !said[err.Error()] {
			said[err.Error()] = true
			k.findError(err, "")
		}
	}
	say(cfg.MFA.GroupReplies)
	for i := range cfg.Clients {
		say(cfg.Clients[i].MFA.GroupReplies)
	}
	if len(said) > 0 {
		return &console.ExitError{Code: console.ExitConfig}
	}
	if cfg.Dictionaries != "" {
		k.find(foundOK, "dictionaries "+cfg.Resolve(cfg.Dictionaries),
			fmt.Sprintf("%d attributes with those that are built in, %d of which no answer can carry", d.Len(), len(d.Unsendable())), "")
	}
	return nil
}

// warnReplies warns of clients that cannot be sent the reply attributes of a user in
// a users file, with those of the user's groups. What other primaries have for a user
// only a login shows.
func (k *checker) warnReplies(cfg *config.Config) {
	d, err := providers.OpenDictionary(cfg)
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
		profile, err := providers.NewProfile(c)
		replies, bad := providers.GroupReplies(c.MFA.GroupReplies, d)
		if err != nil || bad != nil || files[c.Primary] == nil || len(replies) == 0 && profile.MaxAnswer == 0 {
			continue // only the users file was measured when it was read
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
			k.find(foundWarning, "client "+c.Name, fmt.Sprintf("the reply attributes of %d users cannot be sent, their logins are rejected (%s): %s",
				count, mfa.ReasonReplyTooLong, first), "")
		}
	}
}
