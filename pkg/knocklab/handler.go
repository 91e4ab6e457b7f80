package knocklab

import (
	"embed"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"unicode/utf8"
)

//go:embed page
var page embed.FS

// files are what the page consists of, by their paths.
var files = map[string]struct{ name, kind string }{
	"/{$}":        {"index.html", "text/html; charset=utf-8"},
	"/lab.css":    {"lab.css", "text/css; charset=utf-8"},
	"/lab.js":     {"lab.js", "text/javascript; charset=utf-8"},
	"/ask.js":     {"ask.js", "text/javascript; charset=utf-8"},
	"/drawing.js": {"drawing.js", "text/javascript; charset=utf-8"},
	"/tables.js":  {"tables.js", "text/javascript; charset=utf-8"},
	"/icon.svg":   {"icon.svg", "image/svg+xml"},
}

// newHandler answers all requests to the server on port.
func newHandler(port uint16) http.Handler {
	mux := http.NewServeMux()
	for path, file := range files {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			body, err := page.ReadFile("page/" + file.name)
			if err != nil {
				http.Error(w, "the page is incomplete", http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", file.kind)
			w.Write(body)
		})
	}
	mux.HandleFunc("POST /seal", answer(Seal))
	mux.HandleFunc("POST /forge", answer(Forge))
	mux.HandleFunc("POST /open", answer(func(in struct {
		Agreement
		Sequence string `json:"sequence"`
	}) (Opened, error) {
		return Open(in.Agreement, in.Sequence)
	}))
	return guard(port, mux)
}

// maxBody is how many bytes a request may ask with: more than any of its fields may fill.
const maxBody = 16 << 10

// answer lets f answer requests in JSON. [Faults] of f's are the status 422.
func answer[In, Out any](f func(In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			http.Error(w, "want application/json", http.StatusUnsupportedMediaType)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
			return
		}
		var in In
		if err != nil || !utf8.Valid(body) || json.Unmarshal(body, &in) != nil {
			http.Error(w, "the request is not what the page asks", http.StatusBadRequest)
			return
		}
		out, err := f(in)
		var faults Faults
		switch {
		case errors.As(err, &faults):
			reply(w, http.StatusUnprocessableEntity, map[string]Faults{"faults": faults})
		case err != nil:
			http.Error(w, "the lab failed: "+err.Error(), http.StatusInternalServerError)
		default:
			reply(w, http.StatusOK, out)
		}
	}
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // an error is a reader that has gone
}
