// Package nas is radmatch as a NAS: it sends the requests of a RADIUS client to a server.
// Login is one login, shown round by round; Bench is a load of many, with rates and
// latencies.
package nas
