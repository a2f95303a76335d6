// Package seal is the keys that seal the secrets of tokens and the key of Web Push, and where
// they are kept: in a file beside the database, which is backed up apart from it, or in one
// that the nodes of a site share, or in the environment.
package seal
