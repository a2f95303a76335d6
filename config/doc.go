// Package config reads radmatch.yaml into one typed value, or says everything
// that is wrong with it, each problem with its line. It has the keys, in structs
// whose tags document them, and the rules that need more than one key. How a file
// is read and described is package load's.
//
// Load is called by cmd/radmatch, which hands in the settings types of the
// providers and the environment. There are no goroutines, no logs and no
// globals; a Config is not changed after Load has returned it.
package config
