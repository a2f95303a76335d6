package providers

import (
	"errors"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// ConnectTime is how long a provider may take to be reached, all its servers together.
const ConnectTime = 30 * time.Second

// SplitErrors returns the errors that were joined in one, none for nil.
func SplitErrors(err error) []error {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		return several.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// HintOf is what a provider says can be done about its error; it may be empty.
func HintOf(err error) string {
	var failed *mfa.ConnectError
	if errors.As(err, &failed) {
		return failed.Hint
	}
	return ""
}
