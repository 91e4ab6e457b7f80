package knocklab

import (
	"fmt"
	"net/http"
)

// policy lets the page load its own files and ask its own origin, and nothing else.
// Its forms go nowhere: without JavaScript, a passphrase would end in the URL.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

var headers = map[string]string{
	"Cache-Control":                "no-store",
	"Content-Security-Policy":      policy,
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=()",
	"Referrer-Policy":              "no-referrer",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
}

// guard lets through what names this server as its page does, and does not come from
// another page. A name that somebody else has made resolve to 127.0.0.1 is refused:
// to a browser that somebody's page would be of the same origin.
func guard(port uint16, next http.Handler) http.Handler {
	next = http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		if !isOurs(r.Host, port) {
			http.Error(w, fmt.Sprintf("the Knock Lab is at http://127.0.0.1:%d/", port), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isOurs tells whether host, as a request has it, is this server. Browsers leave out
// port 80.
func isOurs(host string, port uint16) bool {
	for _, name := range []string{"127.0.0.1", "localhost"} {
		if host == fmt.Sprintf("%s:%d", name, port) || port == 80 && host == name {
			return true
		}
	}
	return false
}
