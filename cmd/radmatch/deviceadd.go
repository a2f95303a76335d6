package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/text"
)

func (a *app) deviceAddCommand() *cobra.Command {
	var provider, name string
	var asJSON bool
	c := &cobra.Command{
		Use:   "add USER --provider NAME",
		Short: "Register a user at another push provider",
		Long: `Register USER at an entry of push whose devices are not our own: type ntfy or
webhook. The prompts of clients that use this provider then go there. With ntfy each
device has a topic, which is printed once: anyone who knows it can approve for USER.`,
		Example: "  radmatch device add anna --provider chat\n  radmatch device add anna --provider ntfy --name 'work phone'",
		Args:    rangeArgs(1, 1, "radmatch device add USER --provider NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if provider == "" {
				return usageError("radmatch device add USER --provider NAME", "device add: --provider must be there")
			}
			if name == "" {
				name = provider
			}
			err := admin.CheckDevice(mfa.NameOf(args[0]), name)
			var wrong *admin.Invalid
			switch {
			case errors.As(err, &wrong):
				return usageError("--name 'work phone'", "device add: %w", flagged(err))
			case err != nil:
				return usageError("radmatch device add USER --provider NAME", "device add: %w", err)
			}
			return a.addDevice(cmd.Context(), mfa.NameOf(args[0]).String(), provider, name, asJSON)
		},
	}
	c.Flags().StringVar(&provider, "provider", "", "the name of an entry of push")
	c.Flags().StringVar(&name, "name", "", "its name in events and commands (default: the provider's)")
	jsonFlag(c, &asJSON)
	return c
}

// subscriber is a push provider that a device subscribes to.
type subscriber interface{ Subscription(d device.Device) string }

// addedDevice is a new device with what is shown of it once.
type addedDevice struct {
	deviceReport
	Topic string `json:"topic,omitempty"` // to subscribe to
}

func (a *app) addDevice(ctx context.Context, typed, provider, name string, asJSON bool) error {
	cfg, st, err := a.openConfigured(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	p, err := openOther(cfg, provider)
	if err != nil {
		return err
	}
	user, err := a.resolveUser(ctx, cfg, typed)
	if err != nil {
		return err
	}
	d, err := operations(st).AddDevice(ctx, actor(), user, provider, name)
	if err != nil {
		hint := "radmatch device list " + user.String()
		if errors.Is(err, device.ErrNameTaken) {
			hint = "--name 'work phone'"
		}
		return withHint(hint, fmt.Errorf("device: add for %q: %w", user, err))
	}
	topic := ""
	if s, ok := p.(subscriber); ok {
		topic = s.Subscription(d)
	}
	if asJSON {
		return a.printJSON(addedDevice{newDeviceReport(&d), topic})
	}
	fmt.Fprintf(a.stdout, "Added device %s of %s at %s\n", d.ID, text.Printable(user.String(), 128), provider)
	if topic != "" {
		fmt.Fprintf(a.stdout, "Subscribe to this topic, and keep it secret: %s\n", topic)
	}
	return nil
}

// openOther builds a push provider whose devices are not our own.
func openOther(cfg *config.Config, name string) (mfa.Pusher, error) {
	i := slices.IndexFunc(cfg.Push, func(e config.Provider) bool { return e.Name == name })
	if i < 0 {
		return nil, usageError("radmatch check", "device add: there is no push provider %q", name)
	}
	if ownDevices(cfg.Push[i]) {
		return nil, usageError("radmatch device invite USER", "device add: the devices of %q enrol themselves", name)
	}
	return openPusher(cfg, parts{}, cfg.Push[i])
}
