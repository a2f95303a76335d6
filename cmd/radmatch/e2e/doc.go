// Package e2e has the tests that speak to the program: they start the server as a process
// of its own and sign in over RADIUS, with real clients where this machine has them.
//
// Commands beside a running server run in the process of the test, by command.Run; a
// test that needs them as processes has the test binary itself as radmatch, see TestMain.
package e2e
