// Package process is what the operating system and the process of radmatch have to do
// with each other: its user, its memory, its core files, its profile, and the service
// manager that started it.
package process
