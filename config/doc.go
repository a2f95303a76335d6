// Package config reads radmatch.yaml into one typed value, or says everything
// that is wrong with it, each problem with its line. The structs are the
// documentation: describe.go and schema.go print what their tags say.
//
// The file is read once, as YAML nodes: tree.go walks them beside the structs
// and reports what does not fit. What fits goes to viper (load.go), which lays
// it over the defaults; validate.go checks what needs more than one key.
//
// Load is called by cmd/radmatch, which hands in the settings types of the
// providers and the environment. There are no goroutines, no logs and no
// globals; a Config is not changed after Load has returned it.
package config
