package otptest

import "testing"

func TestMemory(t *testing.T) {
	RunStore(t, func(*testing.T) Store { return new(Memory) }, nil)
}
