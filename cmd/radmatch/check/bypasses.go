package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/report"
	"github.com/radmatch/radmatch/cmd/radmatch/site"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/text"
)

// checkBypasses warns of the bypasses in the database, if there is one. The error is
// why no server can open it; that this user may not is none.
func (k *checker) checkBypasses(ctx context.Context, cfg *config.Config) error {
	if !site.HasDatabase(cfg) {
		return nil
	}
	st, err := k.OpenStore(ctx, cfg)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err != nil {
		k.find(foundNote, "", fmt.Sprintf("whether a bypass is in force is not known: %v", err), "")
		return nil
	}
	defer st.Close()
	list, left, err := st.StoredBypasses(ctx)
	if err != nil {
		k.find(foundNote, "", fmt.Sprintf("whether a bypass is in force is not known: %v", err), "")
		return nil
	}
	for i := range list {
		if b := &list[i]; left[i] > 0 {
			k.find(foundBypass, strconv.FormatInt(b.ID, 10), fmt.Sprintf("%s at %s until %s (%s: %s); radmatch bypass end %d",
				report.BypassFor(b), report.BypassAt(b), b.Until.Local().Format(time.DateTime), text.Printable(b.Operator, 64), text.Printable(b.Reason, admin.MaxReason), b.ID), "")
		}
	}
	return nil
}
