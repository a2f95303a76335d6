//go:build !linux

package datadir

import "errors"

// Listen hears Notify where the system has a way to: not here.
func Listen(string) (*Notices, error) { return nil, errors.ErrUnsupported }
