package console

import "fmt"

// The exit codes, also printed by `radmatch help`.
const (
	ExitOK       = 0
	ExitFailure  = 1
	ExitUsage    = 2
	ExitConfig   = 3
	ExitRejected = 4
	ExitNoAnswer = 5
)

// ExitError is an error with the exit code and the hint that go with it. A nil
// err prints nothing: the command has said all that there is to say.
type ExitError struct {
	Code int
	Err  error
	Hint string
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit %d", e.Code)
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// UsageError is a command line that cannot be run; hint says what to type.
func UsageError(hint, format string, args ...any) error {
	return &ExitError{Code: ExitUsage, Err: fmt.Errorf(format, args...), Hint: hint}
}

// WithHint adds what to type to an error of code 1.
func WithHint(hint string, err error) error {
	return &ExitError{Code: ExitFailure, Err: err, Hint: hint}
}
