// Package phone is a push device in the terminal, for radmatch phone: it enrols, keeps its
// key in a file, shows the prompts of its user, and sends what the user answers.
package phone
