// Package load reads a YAML file into structs whose tags say what each key takes,
// and reports every problem of it with its line. From the same tags it prints the
// file with all keys, a reference and a JSON Schema. It knows no key of any file.
//
// Read walks the nodes of the file beside the structs (tree.go): what does not fit
// goes into a Report, what fits comes back as maps of typed values. Overlay lays
// these over the defaults, by viper; Fill puts them into a struct. In between the
// caller takes out the sections that have rules of their own.
//
// The tags: yaml is the key, doc explains it, default is its value where the file
// has none, example is shown where there is no default; enum, min and max bound it,
// octets bounds a secret in the schema; required says that the file must have it,
// shown and first that it is printed; was is its former name.
//
// There are no goroutines, no logs and no globals.
package load
