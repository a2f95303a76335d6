package providers

import (
	"fmt"
	"maps"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/radius/profile"
)

// profileKeys is what a profile sets for its clients.
func profileKeys(p *profile.Profile) map[string]any {
	keys := maps.Clone(p.MFA)
	if keys == nil {
		keys = make(map[string]any)
	}
	keys["prompts"], keys["shows_reply_message"] = p.Prompts, p.ShowsReplyMessage
	keys["end_user"], keys["address_attribute"] = FieldNames(p.EndUser), FieldNames(p.AddressAttribute)
	if p.NASTimeout > 0 {
		keys["nas_timeout"] = p.NASTimeout
	}
	return keys
}

// FieldNames are the attributes of a profile as the configuration has them.
func FieldNames(fields []profile.Field) []string {
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		names = append(names, f.String())
	}
	return names
}

// NewProfile is the client's profile with its own keys laid over it.
func NewProfile(c *config.Client) (*profile.Profile, error) {
	base, err := profile.Lookup(c.Profile)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	p := *base
	p.Prompts, p.ShowsReplyMessage, p.NASTimeout = c.Prompts, c.ShowsReplyMessage, c.NASTimeout
	if p.EndUser, err = parseFields(c.EndUser); err != nil {
		return nil, fmt.Errorf("end_user: %w", err)
	}
	if p.AddressAttribute, err = parseFields(c.AddressAttribute); err != nil {
		return nil, fmt.Errorf("address_attribute: %w", err)
	}
	return &p, nil
}

func parseFields(names []string) ([]profile.Field, error) {
	var fields []profile.Field
	for _, name := range names {
		f, err := profile.ParseField(name)
		if err != nil {
			return nil, fmt.Errorf("%w; got %q", err, name)
		}
		fields = append(fields, f)
	}
	return fields, nil
}
