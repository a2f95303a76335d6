// Command radmatch is a RADIUS server for multifactor sign-in.
//
// # Exit codes
//
//	0 ok, 1 error, 2 usage, 3 bad config, 4 rejected, 5 no answer
package main

import (
	"os"

	"github.com/radmatch/radmatch/cmd/radmatch/command"
)

func main() { os.Exit(command.Main()) }
