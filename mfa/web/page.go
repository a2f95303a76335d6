package web

import (
	"embed"
	"mime"
	"net/http"
	"path"
)

//go:embed page
var pages embed.FS

// page serves one embedded file. That it is there is seen when the server starts.
func page(name string) http.HandlerFunc {
	content, err := pages.ReadFile(name)
	if err != nil {
		panic("web: internal error: " + err.Error())
	}
	kind := mime.TypeByExtension(path.Ext(name))
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(content)
	}
}
