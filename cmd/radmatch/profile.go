package main

import (
	"fmt"
	"maps"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/radius"
)

// profileKeys is what a profile sets for its clients.
func profileKeys(p *radius.Profile) map[string]any {
	keys := maps.Clone(p.MFA)
	if keys == nil {
		keys = make(map[string]any)
	}
	keys["prompts"], keys["shows_reply_message"] = p.Prompts, p.ReplyMessage
	keys["end_user"], keys["address"] = fieldNames(p.EndUser), fieldNames(p.Address)
	if p.Budget > 0 {
		keys["budget"] = p.Budget
	}
	return keys
}

func fieldNames(fields []radius.Field) []string {
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		names = append(names, f.String())
	}
	return names
}

// newProfile is the client's profile with its own keys laid over it.
func newProfile(c *config.Client) (*radius.Profile, error) {
	base, err := radius.LookupProfile(c.Profile)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	p := *base
	p.Prompts, p.ReplyMessage, p.Budget = c.Prompts, c.ReplyMessage, c.Budget
	if p.EndUser, err = parseFields(c.EndUser); err != nil {
		return nil, fmt.Errorf("end_user: %w", err)
	}
	if p.Address, err = parseFields(c.Address); err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	return &p, nil
}

func parseFields(names []string) ([]radius.Field, error) {
	var fields []radius.Field
	for _, name := range names {
		f, err := radius.ParseField(name)
		if err != nil {
			return nil, fmt.Errorf("%w; got %q", err, name)
		}
		fields = append(fields, f)
	}
	return fields, nil
}
