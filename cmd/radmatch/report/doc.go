// Package report is what commands print of users, devices, tokens, clients, profiles and
// events: as JSON, whose keys are an interface and keep their names, and for readers.
// Texts of the network are made fit to be shown.
package report
