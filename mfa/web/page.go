package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"net/http"
	"path"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa/device"
)

//go:embed page
var pages embed.FS

// kinds are the media types of what is in page. The system's table knows not all
// of them everywhere, and a browser runs no script of another type.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png", ".webmanifest": "application/manifest+json",
}

// page serves the authenticator: every file of the folder page by its name, its
// index as / and at the address of an invitation link. The icons as bitmaps are
// for phones that take no SVG; they show icon.svg.
func page(mux *http.ServeMux) {
	files, err := pages.ReadDir("page")
	if err != nil {
		panic("web: internal error: " + err.Error())
	}
	for _, f := range files {
		name, kind := f.Name(), kinds[path.Ext(f.Name())]
		content, err := pages.ReadFile("page/" + name)
		if err != nil || kind == "" {
			panic("web: internal error: page/" + name + " cannot be served")
		}
		serve := file(kind, content)
		if name != "index.html" {
			mux.HandleFunc("GET /"+name, serve)
			continue
		}
		mux.HandleFunc("GET /{$}", serve)
		mux.HandleFunc("GET /enroll", serve)
	}
}

// file serves one file. A browser keeps it and asks each time whether it is the
// newest: files of two versions do not fit together.
func file(kind string, content []byte) http.HandlerFunc {
	tag := sync.OnceValue(func() string {
		sum := sha256.Sum256(content)
		return `"` + device.Encode(sum[:12]) + `"`
	})
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag())
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}
