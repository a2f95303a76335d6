package config

import (
	"reflect"
	"slices"

	"github.com/radmatch/radmatch/config/load"
)

// envOverride decides override_number_matching_with_otp where the file does
// not. It has the name and the values of the NPS extension's registry key.
const envOverride = "OVERRIDE_NUMBER_MATCHING_WITH_OTP"

// newClient lays the keys of one entry of clients over those of its profile, over
// mfa:, and notes where each value comes from.
func newClient(r *report, i int, m map[string]any, base MFA, known Known) Client {
	c := Client{MFA: base, origins: map[string]string{}}
	d := load.Defaults(reflect.TypeFor[Client]())
	mfaKeys := load.Keys(reflect.TypeFor[MFA]())
	for _, key := range mfaKeys {
		delete(d, key) // they are in base already
	}
	load.Fill(&c, d)
	profile, ok := m["profile"].(string)
	if !ok {
		profile = c.Profile
	}
	load.Fill(&c, known.Profiles[profile])
	load.Fill(&c, m)
	for _, key := range append(mfaKeys, deviceKeys()...) {
		_, fromProfile := known.Profiles[profile][key]
		switch {
		case r.Set(load.Join(load.Index("clients", i), key)):
			c.origins[key] = "client " + c.Name
		case fromProfile:
			c.origins[key] = "profile " + profile
		case r.Set(load.Join("mfa", key)):
			c.origins[key] = "mfa"
		}
	}
	return c
}

// deviceKeys returns the keys of a client that describe the device.
func deviceKeys() []string {
	keys := load.Keys(reflect.TypeFor[Client]())
	return keys[slices.Index(keys, "prompts") : slices.Index(keys, "nas_timeout")+1]
}

// resolveOverride gives the override of every client its value.
func (c *Config) resolveOverride(r *report, known Known) {
	value, origin := false, ""
	if known.LookupEnv != nil {
		switch text, _ := known.LookupEnv(envOverride); text {
		case "":
		case "TRUE":
			value, origin = true, "environment"
		case "FALSE":
			origin = "environment"
		default:
			r.Put(Problem{File: "environment", Key: envOverride,
				Rule: "must be TRUE or FALSE, in capitals", Got: load.Quote(text)})
		}
	}
	for i := range c.Clients {
		cl := &c.Clients[i]
		if cl.MFA.OverrideNumberMatchingWithOTP == nil {
			v := value
			cl.MFA.OverrideNumberMatchingWithOTP = &v
			if origin != "" {
				cl.origins["override_number_matching_with_otp"] = origin
			}
		}
	}
}
