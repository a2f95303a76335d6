package serve

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/web"
)

// newPages makes what listen.web serves, and gives the approver its passkeys.
func newPages(cfg *config.Config, approver *push.Approver, st *store.Store, log *zap.Logger) (*web.Server, error) {
	pages := &web.Server{
		Approver: approver, Store: st, Devices: st, History: st, Logger: log,
		Started: time.Now(), PublicURL: cfg.PublicURL(), TrustedProxies: cfg.Web.TrustedProxies,
		MaxStreams: streamLimit(connLimit()),
	}
	var err error
	if pages.Passkeys, err = openPasskeys(cfg, st); err != nil {
		return nil, err
	}
	if pages.Passkeys != nil { // an interface that holds nil is not nil
		approver.Passkeys = pages.Passkeys
		if shared := st.Offers(); shared != nil {
			pages.Passkeys.Offers = shared
		}
	}
	approver.RequirePasskey = cfg.Web.Passkeys == "required"
	pages.Places, err = OpenPlaces(cfg, log)
	return pages, err
}

// openPasskeys returns the relying party, nil where there can be none.
func openPasskeys(cfg *config.Config, st web.PasskeyStore) (*web.Passkeys, error) {
	id, origin, err := cfg.RelyingParty()
	if err != nil {
		return nil, nil // check says why, and that the users whom this concerns cannot approve
	}
	p, err := web.NewPasskeys(id, origin, st)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Where("web.public_url"), err)
	}
	p.Registers = cfg.Web.Passkeys != "off"
	return p, nil
}

// OpenPlaces reads the database of places, if there is one.
func OpenPlaces(cfg *config.Config, log *zap.Logger) (*web.Places, error) {
	if cfg.Web.GeoIPDatabase == "" {
		return nil, nil
	}
	p, err := web.OpenPlaces(cfg.Resolve(cfg.Web.GeoIPDatabase), log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Where("web.geoip_database"), err)
	}
	return p, nil
}
