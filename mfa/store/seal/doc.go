// Package seal is the key file, and what its keys seal: the secrets of tokens and the key of
// Web Push. The file lies beside the database and is backed up apart from it.
package seal
