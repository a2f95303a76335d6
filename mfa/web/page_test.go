package web

import (
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func (r *rig) file(t *testing.T, target string) (kind, content string) {
	t.Helper()
	resp, err := http.Get(r.http.URL + target)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s: got %d %v; want no error, StatusCode 200", target, resp.StatusCode, err)
	}
	return resp.Header.Get("Content-Type"), string(text)
}

// TestIcons: what the manifest and the page name is there, in the size that they say.
func TestIcons(t *testing.T) {
	r := newRig(t)
	kind, text := r.file(t, "/manifest.webmanifest")
	var manifest struct {
		Icons []struct{ Src, Sizes, Type string }
	}
	if err := json.Unmarshal([]byte(text), &manifest); err != nil || kind != "application/manifest+json" || len(manifest.Icons) < 4 {
		t.Fatalf("manifest: %v, %s: got %s; want no error, \"application/manifest+json\", at least 4 Icons", err, kind, text)
	}
	for _, icon := range append(manifest.Icons, struct{ Src, Sizes, Type string }{"icon-180.png", "180x180", "image/png"}) {
		kind, content := r.file(t, "/"+icon.Src)
		if kind != icon.Type {
			t.Errorf("%s is %s, the manifest says %s; want icon.Type", icon.Src, kind, icon.Type)
		}
		if kind != "image/png" {
			continue
		}
		img, err := png.Decode(strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		size := img.Bounds().Dx()
		if got := fmt.Sprintf("%dx%d", size, img.Bounds().Dy()); got != icon.Sizes {
			t.Errorf("%s is %s, the manifest says %s; want icon.Sizes", icon.Src, got, icon.Sizes)
		}
		_, _, _, corner := img.At(0, 0).RGBA()
		if whole := icon.Src == "icon-180.png" || icon.Src == "icon-maskable.png"; whole != (corner == 0xffff) {
			t.Errorf("%s: its corner has alpha %x", icon.Src, corner)
		}
		// The tick: white in its low end, blue in the middle of the gap of the circle.
		if red, _, _, _ := img.At(size*248/512, size*300/512).RGBA(); red != 0xffff {
			t.Errorf("%s: no tick", icon.Src)
		}
		if red, _, _, _ := img.At(size*376/512, size*216/512).RGBA(); red > 0x8000 {
			t.Errorf("%s: the circle is closed", icon.Src)
		}
	}
}

// TestTexts: each text that the page asks for is there, each that is there is asked
// for, and the page has none of its own.
func TestTexts(t *testing.T) {
	var texts map[string]string
	content, err := pages.ReadFile("page/texts.en.json")
	if err == nil {
		err = json.Unmarshal(content, &texts)
	}
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	files, _ := fs.Glob(pages, "page/*[^n]") // but the texts
	for _, name := range files {
		content, err := pages.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(content)
		for _, m := range regexp.MustCompile(`(?:\bt\('|data-(?:text|label)="|'notification\.)([\w.]+)['"]`).FindAllStringSubmatch(string(content), -1) {
			key := strings.TrimPrefix(m[1], "'")
			if _, ok := texts[key]; !ok && texts["notification."+key] == "" {
				t.Errorf("%s asks for the text %q, which is not there", name, key)
			}
		}
	}
	// Keys that are put together: t(`outcome.${outcome}`).
	families := regexp.MustCompile("[`']([a-z]+\\.)\\$\\{").FindAllStringSubmatch(all.String(), -1)
	for key, text := range texts {
		used := strings.Contains(all.String(), "'"+key+"'") || strings.Contains(all.String(), `"`+key+`"`)
		for _, f := range families {
			used = used || strings.HasPrefix(key, f[1])
		}
		if base, plural := strings.CutSuffix(strings.TrimSuffix(key, ".one"), ".other"); plural || strings.HasSuffix(key, ".one") {
			used = used || strings.Contains(all.String(), "'"+base+"'")
		}
		if !used {
			t.Errorf("nothing uses the text %q", key)
		}
		if text == "" || strings.ContainsAny(text, "<>") {
			t.Errorf("text %q is %q", key, text)
		}
	}
	index, err := pages.ReadFile("page/index.html")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(index), "<main")
	body = regexp.MustCompile(`(?s)<(noscript|pre)>.*?</(noscript|pre)>|<[^>]*>`).ReplaceAllString("<main"+body, "")
	if left := strings.TrimSpace(body); left != "" {
		t.Errorf("index.html has texts of its own: got %q; want no text", left)
	}
}

// TestPageIsPlain: nothing in the page needs what its policy forbids, or leaves this server.
func TestPageIsPlain(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|<script>|\son\w+=|\sstyle=|setTimeout\(['"]`)
	elsewhere := regexp.MustCompile(`(?:https?:)?//[a-z][^\s'"]*`)
	files, err := pages.ReadDir("page")
	if err != nil || len(files) < 10 {
		t.Fatal(err, len(files))
	}
	for _, f := range files {
		content, err := pages.ReadFile("page/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if found := forbidden.Find(content); found != nil {
			t.Errorf("%s: %s", f.Name(), found)
		}
		for _, url := range elsewhere.FindAllString(string(content), -1) {
			if !strings.HasPrefix(url, "http://www.w3.org/") { // the name of a namespace
				t.Errorf("%s names %s", f.Name(), url)
			}
		}
	}
}
