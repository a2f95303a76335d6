// Package site is what a command works on: the configuration file that the command line
// or the environment names, and the database in its data_dir, which root opens only as
// the owner of that folder.
package site
