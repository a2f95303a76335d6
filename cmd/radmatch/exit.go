package main

import "fmt"

// The exit codes, also printed by `radmatch help`.
const (
	exitOK       = 0
	exitFailure  = 1
	exitUsage    = 2
	exitConfig   = 3
	exitRejected = 4
	exitNoAnswer = 5
)

// exitError is an error with the exit code and the hint that go with it. A nil
// err prints nothing: the command has said all that there is to say.
type exitError struct {
	code int
	err  error
	hint string
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError is a command line that cannot be run; hint says what to type.
func usageError(hint, format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...), hint: hint}
}

// withHint adds what to type to an error of code 1.
func withHint(hint string, err error) error {
	return &exitError{code: exitFailure, err: err, hint: hint}
}
