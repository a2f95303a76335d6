// Package providers opens what the configuration names: primaries, push providers,
// dictionaries and profiles, each from its section of the file. Its tables of
// constructors say which types there are.
//
// Primaries of the file know of each other: no two may have a user of the same name.
// A Resolver asks them for the user that an operator means.
package providers
