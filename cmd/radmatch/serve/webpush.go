package serve

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/push/webpush"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/textfile"
)

// openWebPush makes the sender of Web Push, nil where the configuration has
// none. The first start makes the key of this server.
func openWebPush(ctx context.Context, cfg *config.Config, st *store.Store, log *zap.Logger) (*webpush.Sender, error) {
	o, err := WebPushOptions(cfg)
	if o == nil || err != nil {
		return nil, err
	}
	key, err := st.WebPushKey(ctx)
	if err != nil {
		return nil, err
	}
	if o.VAPID, err = webpush.NewVAPID(key, cfg.PushContact()); err != nil {
		return nil, err
	}
	o.Store, o.Logger = st, log
	return webpush.New(*o), nil
}

// WebPushOptions is what the configuration says of Web Push; nil: there is none.
func WebPushOptions(cfg *config.Config) (*webpush.Options, error) {
	if len(cfg.Web.PushServices) == 0 || len(cfg.Push) == 0 {
		return nil, nil
	}
	o := &webpush.Options{}
	for i, text := range cfg.Web.PushServices {
		s, err := webpush.ParseService(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", cfg.Where(fmt.Sprintf("web.push_services[%d]", i)), err)
		}
		o.Services = append(o.Services, s)
	}
	if cfg.Web.PushCAFile == "" {
		return o, nil
	}
	var err error
	if o.Roots, err = textfile.Roots(cfg.Web.PushCAFile); err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Where("web.push_ca_file"), err)
	}
	return o, nil
}
