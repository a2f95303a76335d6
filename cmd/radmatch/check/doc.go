// Package check says everything that is wrong or unwise in a configuration, for radmatch
// check. Each thing that it says is a finding: about a place in the file, or about a
// client, a primary or an address.
package check
