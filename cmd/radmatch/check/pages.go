package check

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/serve"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push/webpush"
)

// checkPages says what the page cannot do, and why.
func (k *checker) checkPages(cfg *config.Config) error {
	switch _, _, err := cfg.RelyingParty(); {
	case len(cfg.Push) == 0:
	case cfg.Web.Passkeys == "required":
		k.find(foundNote, "", "web.passkeys is required: devices without a passkey, radmatch phone among them, cannot approve", "")
	case cfg.Web.Passkeys != "off" && err != nil:
		k.find(foundNote, "", fmt.Sprintf("there are no passkeys: %v", err), "")
	}
	p, err := serve.OpenPlaces(cfg, zap.NewNop())
	if err != nil {
		k.findError(err, "")
		return &console.ExitError{Code: console.ExitConfig}
	}
	if p != nil {
		k.find(foundOK, "geoip_database", fmt.Sprint(p.Kind()), "")
	}
	return nil
}

// checkWebPush tries the push services that devices have subscribed at. One that
// cannot be reached keeps no server from starting: open pages get their prompts.
func (k *checker) checkWebPush(ctx context.Context, cfg *config.Config, devices []device.Device) error {
	o, err := serve.WebPushOptions(cfg)
	if o == nil || err != nil {
		return err
	}
	subscribed := 0
	for _, h := range webpush.New(*o).Reach(ctx, devices) {
		subscribed += h.Devices
		switch {
		case errors.Is(h.Err, webpush.ErrService):
			k.find(foundWarning, "web push "+h.Host, fmt.Sprintf("%d devices, not notified: it is not in web.push_services", h.Devices), "")
		case h.Err != nil:
			k.find(foundWarning, "web push "+h.Host, fmt.Sprintf("%d devices, not reached: %v", h.Devices, h.Err),
				fmt.Sprintf("let this machine connect to %s; until then only open pages get their requests", h.Host))
		default:
			k.find(foundOK, "web push "+h.Host, fmt.Sprintf("%d devices, reached", h.Devices), "")
		}
	}
	if subscribed == 0 {
		k.find(foundOK, "web push", "no device has subscribed", "")
	}
	return nil
}
