// Package serve is the wiring: it makes a running server of a configuration.
//
// Run opens the database, what outlives a reload (lasting), the service that a reload
// exchanges (service), and the listeners; at the end it goes the same way back. Servable
// says why Run would refuse a configuration, and Inspect shows a command how a server
// that has just started would decide.
package serve
