package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

const pushConfig = `listen:
  radius: ["127.0.0.1:0"]
  web: "127.0.0.1:0"
%sdata_dir: data
primaries:
  - {name: local, type: file, path: users.yaml}
push:
  - name: chat
%s  - {name: phone, type: approver}
clients:
  - name: vpn
    addresses: [127.0.0.1]
    secret: %s
mfa:
  reject_delay: 500ms
  push_timeout: 5s
%s`

// scriptPushSite writes radmatch.yaml with these keys in an entry of push called
// chat; those behind -- go under mfa:. The public URL is where the server was last.
func scriptPushSite(ts *testscript.TestScript, neg bool, args []string) {
	var entry, mfa, web strings.Builder
	out, indent := &entry, "    "
	for _, a := range args {
		if a == "--" {
			out, indent = &mfa, "  "
			continue
		}
		fmt.Fprintf(out, "%s%s\n", indent, a)
	}
	if at := ts.Getenv("WEB"); at != "" {
		fmt.Fprintf(&web, "web: {public_url: http://%s}\n", at)
	}
	text := fmt.Sprintf(pushConfig, web.String(), entry.String(), ts.Getenv("SECRET"), mfa.String())
	ts.Check(os.WriteFile(ts.MkAbs("radmatch.yaml"), []byte(text), 0o600))
}

var receiverPy = regexp.MustCompile("(?s)<!-- receiver.py[^\n]*\n```python\n(.*?)\n```")

// scriptReceiver writes receiver.py as docs/push-providers.md has it, and sets $PYTHON.
func scriptReceiver(ts *testscript.TestScript, neg bool, args []string) {
	text, err := os.ReadFile("../../../docs/push-providers.md")
	ts.Check(err)
	m := receiverPy.FindSubmatch(text)
	if m == nil {
		ts.Fatalf("docs/push-providers.md has no receiver.py")
	}
	ts.Check(os.WriteFile(ts.MkAbs("receiver.py"), append(m[1], '\n'), 0o600))
	ts.Setenv("PYTHON", python)
}

// python is not the first one in the PATH, which may be a wrapper that needs a home.
const python = "/usr/bin/python3"

func needPython(t *testing.T) {
	if _, err := os.Stat(python); err != nil {
		mustRun(t, python+" is missing: run testdata/install-peers as root")
	}
}

// ntfyMain is a small ntfy server: it writes each notification to the file
// shown.json, and to the file withdrawn that one was deleted.
func ntfyMain() {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		_ = os.WriteFile("shown.tmp", text, 0o600)
		_ = os.Rename("shown.tmp", "shown.json")
	})
	mux.HandleFunc("DELETE /{topic}/{sequence}", func(_ http.ResponseWriter, _ *http.Request) {
		_ = os.WriteFile("withdrawn", []byte("withdrawn\n"), 0o600)
	})
	mux.HandleFunc("GET /v1/health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"healthy":true}`) })
	s := httptest.NewServer(mux)
	fmt.Println("listening", s.Listener.Addr())
	done := make(chan os.Signal, 1)
	signal.Notify(done, os.Interrupt)
	<-done
	s.Close()
}

// tapMain taps a button of the notification in shown.json: tap [-get] LABEL. A
// label of "other" is the first number that is not in the arguments after it.
func tapMain() {
	method, args := http.MethodPost, os.Args[1:]
	if args[0] == "-get" {
		method, args = http.MethodGet, args[1:]
	}
	var m struct {
		Actions []struct{ Label, URL string }
	}
	text, err := os.ReadFile("shown.json")
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	for _, a := range m.Actions {
		if a.Label != args[0] && (args[0] != "other" || a.Label == args[1]) {
			continue
		}
		r, _ := http.NewRequest(method, a.URL, nil)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		text, _ := io.ReadAll(resp.Body)
		fmt.Printf("%d %s", resp.StatusCode, text)
		return
	}
	fmt.Println("no such button:", err)
	os.Exit(1)
}
