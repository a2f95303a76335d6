package main

import (
	"errors"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// connectTime is how long a provider may take to be reached, all its servers together.
const connectTime = 30 * time.Second

// splitErrors returns the errors that were joined in one, none for nil.
func splitErrors(err error) []error {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		return several.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// hintOf is what a provider says can be done about its error; it may be empty.
func hintOf(err error) string {
	var failed *mfa.ConnectError
	if errors.As(err, &failed) {
		return failed.Hint
	}
	return ""
}
