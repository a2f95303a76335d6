package serve

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/config"
)

// fullDisk takes nothing while full is set.
type fullDisk struct {
	bytes.Buffer
	full bool
}

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.full {
		return 0, errors.New("no space left on device")
	}
	return d.Buffer.Write(b)
}

// A disk that was full for a moment costs the lines of that moment, not all that follow.
func TestLogAfterFullDisk(t *testing.T) {
	disk := &fullDisk{full: true}
	log, _ := newLog(config.Log{Format: "json", Level: "info"}, disk)
	log.Info("lost")
	log.Sync()
	disk.full = false
	log.Info("kept")
	log.Sync()
	if !strings.Contains(disk.String(), `"msg":"kept"`) {
		t.Errorf("the log holds %q", disk.String())
	}
}
