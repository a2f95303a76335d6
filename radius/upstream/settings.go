package upstream

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// Settings are the keys of a primary of type `radius`.
type Settings struct {
	Servers         []Server      `yaml:"servers" doc:"The servers, in the order in which they are asked: the next one only where the one before gives no answer."`
	Timeout         time.Duration `yaml:"timeout" default:"3s" min:"500ms" max:"2m" doc:"How long a login waits for one server, with all that is sent again, before the next one is asked. Where the server itself asks the user (a push of its own), longer than that takes."`
	DeadAfter       int           `yaml:"dead_after" default:"3" min:"1" max:"100" doc:"After how many logins in a row without an answer a server is passed over. It is back at its first answer, to a Status-Server too."`
	DeadTime        time.Duration `yaml:"dead_time" default:"1m" min:"1s" max:"1h" doc:"How often a server that is passed over and knows no Status-Server (NPS) is tried with one login."`
	NASIdentifier   string        `yaml:"nas_identifier" default:"radmatch" doc:"What radmatch calls itself to the servers (NAS-Identifier)."`
	DefaultDomain   string        `yaml:"default_domain" default:"" doc:"The domain of names without one. The servers get each name as it was typed."`
	Domains         []string      `yaml:"domains" default:"" doc:"Further domains that DOMAIN\\user and user@domain may name. Their users are known as NAME@DOMAIN: the same name in two domains is two users."`
	CanonicalDomain string        `yaml:"canonical_domain" default:"" doc:"When set, methods, blocks and events know the users of default_domain as NAME@canonical_domain, otherwise as NAME. Both then mean the same domain."`
	GroupsAttribute string        `yaml:"groups_attribute" default:"" doc:"The attribute of an Access-Accept whose values are the user's groups, such as Filter-Id or Class. Unset: no groups."`
}

// Server is one server of a primary of type `radius`.
type Server struct {
	Address    string       `yaml:"address" first:"true" required:"true" example:"nps1.example.org:1812" doc:"HOST or HOST:PORT; the port is 1812 where there is none. All addresses of a name are tried until one answers."`
	Secret     mfa.Password `yaml:"secret" example:"a-long-random-secret-of-32-chars" doc:"The shared secret, at least 8 octets, better 32."`
	SecretFile string       `yaml:"secret_file" first:"true" example:"secrets/nps" doc:"A file that holds the secret in place of secret."`
}

// The bounds of a shared secret, in octets, as those of a client.
const (
	minSecret = 8
	maxSecret = 253
)

// CheckSettings implements config.SettingsChecker.
func (s *Settings) CheckSettings(problem func(key, rule, got string)) {
	if len(s.Servers) == 0 {
		problem("servers", "must have an entry", "")
	}
	seen := map[string]bool{}
	for i, server := range s.Servers {
		at := fmt.Sprintf("servers[%d].", i)
		address, err := server.dialAddress()
		switch {
		case err != nil:
			problem(at+"address", err.Error(), server.Address)
		case seen[address]:
			problem(at+"address", "must be there once", server.Address)
		}
		seen[address] = true
		switch {
		case server.Secret != "" && server.SecretFile != "":
			problem(at+"secret_file", "must not stand beside secret", "")
		case server.SecretFile != "":
		case server.Secret == "":
			problem(at+"secret", "must be there, or secret_file", "")
		default:
			if err := checkSecret(string(server.Secret)); err != nil {
				problem(at+"secret", err.Error(), "")
			}
		}
	}
	if n := len(s.NASIdentifier); n == 0 || n > wire.MaxValue {
		problem("nas_identifier", fmt.Sprintf("must be 1 to %d octets long", wire.MaxValue), s.NASIdentifier)
	}
	for key, d := range map[string]string{"default_domain": s.DefaultDomain, "canonical_domain": s.CanonicalDomain} {
		if err := checkDomain(d); d != "" && err != nil {
			problem(key, err.Error(), d)
		}
	}
	for i, d := range s.Domains {
		if err := checkDomain(d); err != nil {
			problem(fmt.Sprintf("domains[%d]", i), err.Error(), d)
		}
	}
}

func checkSecret(secret string) error {
	if n := len(secret); n < minSecret || n > maxSecret {
		return fmt.Errorf("must be from %d to %d octets", minSecret, maxSecret)
	}
	return nil
}

// dialAddress is the address with its port.
func (s *Server) dialAddress() (string, error) {
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil && strings.Count(s.Address, ":") != 1 { // no port; IPv6 may stand without brackets
		host, port = strings.Trim(s.Address, "[]"), "1812"
	}
	n, err := net.LookupPort("udp", port)
	if err != nil || n == 0 || host == "" || strings.ContainsAny(host, " /[]@") {
		return "", errors.New("must be HOST or HOST:PORT, such as nps1.example.org:1812")
	}
	return net.JoinHostPort(host, port), nil
}
