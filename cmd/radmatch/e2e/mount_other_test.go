//go:build !linux

package e2e

import "errors"

func mountTmpfs(dir, options string) (unmount func() error, err error) {
	return nil, errors.ErrUnsupported
}

func remount(dir string, readOnly bool) error { return errors.ErrUnsupported }
