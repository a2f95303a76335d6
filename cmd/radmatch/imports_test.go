package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/radmatch/radmatch/"
	root   = "../.."
)

// ours is which packages of ours a package may import: "*" is all, "outside cmd" all that
// are no part of a program. Tests may also import the conformance suite of their seam, and
// those of the program everything.
var ours = map[string][]string{
	"config":                    {"config/load", "mfa/textfile"},
	"config/load":               {"mfa/textfile"},
	"mfa":                       {},
	"mfa/bound":                 {},
	"mfa/login":                 {"mfa", "mfa/bound"},
	"mfa/admin":                 {"mfa", "otp", "mfa/device", "mfa/login", "mfa/store/op", "mfa/text"},
	"mfa/textfile":              {},
	"otp":                       {"mfa", "mfa/bound", "mfa/textfile"},
	"otp/otptest":               {"mfa", "otp"},
	"mfa/password":              {"mfa", "mfa/text", "mfa/textfile"},
	"mfa/password/ldap":         {"mfa", "mfa/bound", "mfa/password", "mfa/password/ldap/conn", "mfa/password/winbind", "mfa/text", "mfa/textfile"},
	"mfa/password/ldap/conn":    {"mfa", "mfa/password", "mfa/text"},
	"mfa/password/winbind":      {"mfa", "mfa/bound", "mfa/password"},
	"mfa/password/passwordtest": {"mfa"},
	"mfa/text":                  {},
	"mfa/device":                {"mfa", "mfa/text"},
	"mfa/push":                  {"mfa", "mfa/bound", "mfa/device", "mfa/push/webpush", "mfa/text", "mfa/textfile"},
	"mfa/push/webpush":          {"mfa", "mfa/device"},
	"mfa/push/pushtest":         {"mfa", "mfa/device"},
	"radius":                    {"mfa", "mfa/bound", "mfa/text", "radius/accounting", "radius/method", "radius/profile", "radius/upstream", "radius/wire"},
	"radius/accounting":         {"mfa", "mfa/bound", "radius/caller", "radius/wire"},
	"radius/method":             {"mfa", "radius/wire"},
	"radius/wire":               {"mfa", "mfa/text", "mfa/textfile"},
	"radius/listen":             {"radius", "radius/wire"},
	"radius/profile":            {"mfa", "radius/wire"},
	"radius/caller":             {"mfa", "radius/wire"},
	"radius/upstream":           {"mfa", "mfa/text", "radius/caller", "radius/wire"},
	"mfa/store":                 {"mfa", "otp", "mfa/device", "mfa/store/datadir", "mfa/store/health", "mfa/store/op", "mfa/store/postgres", "mfa/store/record", "mfa/store/seal", "mfa/store/sqlite"},
	"mfa/store/op":              {"mfa", "otp", "mfa/device"},
	"mfa/store/record":          {"mfa", "otp", "mfa/device", "mfa/store/op"},
	"mfa/store/datadir":         {},
	"mfa/store/health":          {},
	"mfa/store/seal":            {"mfa/store/datadir", "mfa/textfile"},
	"mfa/store/sqlite":          {"mfa", "otp", "mfa/store/datadir", "mfa/store/op", "mfa/store/record", "mfa/store/seal", "mfa/store/sqlstore"},
	"mfa/store/postgres":        {"mfa", "otp", "mfa/store/datadir", "mfa/store/op", "mfa/store/record", "mfa/store/seal", "mfa/store/sqlstore"},
	"mfa/store/move":            {"otp", "mfa", "mfa/store/postgres", "mfa/store/record", "mfa/store/seal", "mfa/store/sqlite"},
	"mfa/store/postgrestest":    {},
	"mfa/store/sqlstore":        {"mfa", "otp", "mfa/device", "mfa/store/op", "mfa/store/record", "mfa/store/seal"},
	"mfa/store/storetest":       {"mfa", "otp"},
	"mfa/front":                 {"mfa/bound", "mfa/text", "mfa/textfile"},
	"mfa/web":                   {"mfa", "otp", "mfa/bound", "mfa/device", "mfa/front", "mfa/push", "mfa/push/webpush", "mfa/text"},
	"mfa/web/webtest":           {},
	"mfa/api":                   {"mfa", "otp", "mfa/device", "mfa/push"},
	"cmd/radmatch":              {"cmd/radmatch/command"},
	"cmd/radmatch/command":      {"*"},
	"cmd/radmatch/e2e":          {"*"},
	"cmd/radmatch/console":      {"mfa/textfile"},
	"cmd/radmatch/process":      {"cmd/radmatch/console", "config", "mfa/store/datadir"},
	"cmd/radmatch/providers":    {"cmd/radmatch/console", "outside cmd"},
	"cmd/radmatch/report":       {"cmd/radmatch/providers", "outside cmd"},
	"cmd/radmatch/serve":        {"cmd/radmatch/console", "cmd/radmatch/process", "cmd/radmatch/providers", "outside cmd"},
	"cmd/radmatch/site":         {"cmd/radmatch/console", "cmd/radmatch/process", "cmd/radmatch/providers", "cmd/radmatch/serve", "outside cmd"},
	"cmd/radmatch/check":        {"cmd/radmatch/console", "cmd/radmatch/providers", "cmd/radmatch/report", "cmd/radmatch/serve", "cmd/radmatch/site", "outside cmd"},
	"cmd/radmatch/explain":      {"cmd/radmatch/serve", "outside cmd"},
	"cmd/radmatch/nas":          {"cmd/radmatch/console", "cmd/radmatch/providers", "outside cmd"},
	"cmd/radmatch/phone":        {"cmd/radmatch/console", "mfa/device", "mfa/text"},
	"cmd/radbench":              {"mfa", "mfa/password", "mfa/password/ldap", "mfa/password/passwordtest", "mfa/device", "mfa/store", "mfa/store/postgrestest", "otp", "radius/wire"},
}

// suites may be imported by tests; so may the domain, the login machine, the store and
// the side that asks.
var suites = []string{"mfa", "mfa/login", "radius/caller", "radius/profile", "mfa/store", "mfa/password/passwordtest", "mfa/push/pushtest", "mfa/store/postgrestest", "mfa/store/storetest", "mfa/web/webtest", "otp/otptest"}

// theirs is who may import what drags dependencies in: a folder, or one file.
// The longest prefix of an import path decides; an import that is not listed is free.
var theirs = map[string][]string{
	"layeh.com/radius":         {"radius/wire"},
	"layeh.com/radius/rfc2759": {"radius/wire", "mfa/password", "mfa/password/winbind", "mfa/password/passwordtest"},
	"github.com/spf13/viper":   {"config/load"},
	"github.com/pquerna/otp":   {"otp"},
	"database/sql":             {"mfa/store/postgres", "mfa/store/postgrestest", "mfa/store/sqlite", "mfa/store/sqlstore"},
	"modernc.org/sqlite":       {"mfa/store/sqlite"},
	"github.com/jackc/pgx":     {"mfa/store/move", "mfa/store/postgres", "mfa/store/postgrestest"},
	"github.com/go-ldap/ldap":  {"mfa/password/ldap/conn"},
	"go.uber.org/zap":          {"cmd/radmatch/check", "cmd/radmatch/process", "cmd/radmatch/providers", "cmd/radmatch/serve", "radius", "radius/accounting", "radius/listen", "radius/upstream", "mfa/front", "mfa/web", "mfa/api", "mfa/push/webpush", "mfa/store", "mfa/store/postgres", "mfa/password/ldap", "mfa/password/ldap/conn", "cmd/radbench"},
	"github.com/spf13/cobra":   {"cmd/radmatch/command"},
	"github.com/go-crypt":      {"mfa/password"},
	"github.com/go-webauthn":   {"mfa/web/passkey.go"},
	"github.com/oschwald":      {"mfa/web/places.go"},
	"log":                      {},
	"log/slog":                 {},
}

// aliases are the names of packages that share one with ours.
var aliases = map[string]string{
	"layeh.com/radius":           "layeh",
	"github.com/pquerna/otp":     "pquerna",
	"github.com/go-ldap/ldap/v3": "goldap",
}

// TestImports holds the import table of the design.
func TestImports(t *testing.T) {
	files := 0
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == ".git"):
			return fs.SkipDir
		case !strings.HasSuffix(file, ".go"):
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		files++
		checkImports(t, filepath.ToSlash(rel), file)
		return nil
	})
	if err != nil || files < 20 {
		t.Fatalf("read %d files: got %v; want no error, at least 20", files, err)
	}
}

func checkImports(t *testing.T, rel, file string) {
	syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	for _, spec := range syntax.Imports {
		name := ""
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imported, _ := strconv.Unquote(spec.Path.Value)
		if rule := wrongImport(rel, imported, name); rule != "" {
			t.Errorf("%s imports %s: got %s; want no text", rel, imported, rule)
		}
	}
}

// wrongImport returns the rule that an import breaks, empty if none.
func wrongImport(file, imported, name string) string {
	dir, test := path.Dir(file), strings.HasSuffix(file, "_test.go")
	if want := aliases[imported]; want != "" && name != want {
		return "must be called " + want
	}
	if (name == "_" || name == ".") && imported != "embed" && dir != "mfa/store/sqlite" {
		return "no blank or dot imports"
	}
	if of, ok := strings.CutPrefix(imported, module); ok {
		allowed, known := ours[dir]
		switch {
		case !known:
			return "the package is not in the table of imports_test.go"
		case slices.Contains(allowed, "*"), slices.Contains(allowed, of), of == dir, test && slices.Contains(suites, of),
			slices.Contains(allowed, "outside cmd") && !strings.HasPrefix(of, "cmd/"), test && strings.HasPrefix(dir, "cmd/radmatch"):
			return ""
		}
		return "not a package that " + dir + " may import"
	}
	// The domain is plain Go: no transport, no library, no log. What brings names
	// into their form is Go's own.
	domain := dir == "mfa" || dir == "mfa/login"
	if domain && strings.Contains(strings.Split(imported, "/")[0], ".") && imported != "golang.org/x/text/unicode/norm" {
		return dir + " imports only the standard library and golang.org/x/text/unicode/norm"
	}
	if (domain || dir == "mfa/admin") && strings.HasPrefix(imported, "net/http") {
		return dir + " knows no transport"
	}
	if holders, ok := restricted(imported); ok && !slices.Contains(holders, dir) && !slices.Contains(holders, file) && !test {
		return "reserved to " + strings.Join(holders, ", ")
	}
	return ""
}

func restricted(imported string) ([]string, bool) {
	best := ""
	for prefix := range theirs {
		if (imported == prefix || strings.HasPrefix(imported, prefix+"/")) && len(prefix) > len(best) {
			best = prefix
		}
	}
	return theirs[best], best != ""
}

// TestWrongImport: the table can fail.
func TestWrongImport(t *testing.T) {
	for _, c := range []struct {
		file, imported, name string
		wrong                bool
	}{
		{"mfa/login/engine.go", module + "otp", "", true},
		{"mfa/login/engine.go", "go.uber.org/zap", "", true},
		{"mfa/login/engine.go", "net/http", "", true},
		{"mfa/admin/user.go", "net/http", "", true},
		{"mfa/admin/user.go", "database/sql", "", true},
		{"mfa/admin/user.go", "go.uber.org/zap", "", true},
		{"mfa/admin/user.go", module + "mfa/store", "", true},
		{"mfa/admin/user_test.go", module + "mfa/store", "", false},
		{"mfa/name.go", "golang.org/x/text/unicode/norm", "", false},
		{"mfa/name.go", "golang.org/x/text/language", "", true},
		{"mfa/login/engine.go", "net/netip", "", false},
		{"otp/totp.go", module + "mfa", "", false},
		{"otp/totp.go", module + "mfa/store", "", true},
		{"otp/totp.go", "github.com/pquerna/otp", "", true},
		{"otp/totp.go", "github.com/pquerna/otp", "pquerna", false},
		{"otp/totp.go", "github.com/pquerna/otp/totp", "", false},
		{"mfa/web/web.go", "github.com/pquerna/otp/totp", "", true},
		{"mfa/web/web.go", "layeh.com/radius/rfc2865", "", true},
		{"mfa/web/server.go", module + "mfa/front", "", false},
		{"mfa/front/server.go", module + "mfa/web", "", true},
		{"mfa/front/server.go", module + "mfa/device", "", true},
		{"mfa/device/phone.go", module + "mfa/push", "", true},
		{"mfa/device/phone.go", "net/http", "", false},
		{"mfa/store/devices.go", module + "mfa/device", "", false},
		{"mfa/store/devices.go", module + "mfa/push", "", true},
		{"mfa/push/approver.go", module + "mfa/push/webpush", "", false},
		{"mfa/push/webpush/sender.go", module + "mfa/push", "", true},
		{"mfa/password/nt.go", "layeh.com/radius/rfc2759", "", false},
		{"mfa/password/nt.go", "layeh.com/radius", "layeh", true},
		{"mfa/password/file.go", "github.com/go-ldap/ldap/v3", "goldap", true},
		{"mfa/password/ldap/conn/conn.go", "github.com/go-ldap/ldap/v3", "goldap", false},
		{"mfa/password/ldap/conn/conn.go", "github.com/go-ldap/ldap/v3", "", true},
		{"mfa/password/ldap/find.go", "github.com/go-ldap/ldap/v3", "goldap", true},
		{"mfa/password/ldap/primary.go", module + "mfa/password/winbind", "", false},
		{"mfa/password/sequence.go", module + "mfa/password/ldap", "", true},
		{"mfa/password/winbind/winbind.go", module + "mfa/password", "", false},
		{"mfa/password/winbind/winbind.go", module + "mfa/password/ldap", "", true},
		{"mfa/password/winbind/winbind.go", "layeh.com/radius/rfc2759", "", false},
		{"mfa/password/ldap/retry.go", "layeh.com/radius/rfc2759", "", true},
		{"mfa/store/sqlite/open.go", "modernc.org/sqlite", "_", false},
		{"mfa/store/store.go", "database/sql", "", true},
		{"radius/server.go", "database/sql", "", true},
		{"radius/server.go", module + "radius/wire", "", false},
		{"radius/wire/packet.go", module + "radius", "", true},
		{"radius/server.go", module + "radius/listen", "", true},
		{"radius/listen/udp.go", module + "radius", "", false},
		{"radius/wire/packet.go", "go.uber.org/zap", "", true},
		{"radius/wire/packet.go", "layeh.com/radius", "layeh", false},
		{"radius/accounting/forward.go", module + "radius", "", true},
		{"radius/accounting/forward.go", "layeh.com/radius", "layeh", true},
		{"radius/method/pap.go", module + "radius", "", true},
		{"radius/method/pap.go", "go.uber.org/zap", "", true},
		{"radius/profile/profile.go", module + "radius/upstream", "", true},
		{"radius/upstream/primary.go", module + "radius/profile", "", true},
		{"radius/upstream/primary.go", "layeh.com/radius", "layeh", true},
		{"config/load/read.go", "github.com/spf13/viper", "", false},
		{"radius/server.go", "github.com/spf13/viper", "", true},
		{"config/load.go", "github.com/spf13/viper", "", true},
		{"config/load.go", "go.uber.org/zap", "", true},
		{"otp/totp.go", "log", "", true},
		{"cmd/radmatch/serve/serve.go", module + "mfa/store", "", false},
		{"cmd/radmatch/serve/serve.go", module + "cmd/radmatch/command", "", true},
		{"cmd/radmatch/serve/serve.go", "github.com/spf13/cobra", "", true},
		{"cmd/radmatch/serve/clock_test.go", module + "cmd/radmatch/site", "", false},
		{"cmd/radmatch/phone/watch.go", module + "mfa/push", "", true},
		{"cmd/radmatch/command/totp.go", module + "otp", "", false},
		{"cmd/other/main.go", module + "mfa", "", true},
		{"mfa/store/store_test.go", module + "otp/otptest", "", false},
		{"mfa/store/store.go", module + "otp/otptest", "", true},
	} {
		if got := wrongImport(c.file, c.imported, c.name); (got != "") != c.wrong {
			t.Errorf("%s imports %s as %q: got %q", c.file, c.imported, c.name, got)
		}
	}
}
