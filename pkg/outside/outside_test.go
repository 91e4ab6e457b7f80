package outside

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// serve starts a service on loopback.
func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// say makes a service that says the same each time.
func say(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, text)
	}
}

// refused fails unless err is about the service at url and says why.
func refused(t *testing.T, ip netip.Addr, err error, url, why string) {
	t.Helper()
	if want := fmt.Sprintf("failed to ask %q for the outside address: %s", url, why); text(err) != want || ip.IsValid() {
		t.Errorf("got %v, %v, want the error %s", ip, err, want)
	}
}

func TestAsk(t *testing.T) {
	t.Parallel()
	s := serve(t, say(200, "203.0.113.5\n"))
	got, err := Ask(t.Context(), s.URL)
	if want := netip.MustParseAddr("203.0.113.5"); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		text   string
		want   string
	}{
		"HTML":          {200, "<html><body>203.0.113.5</body></html>", `its answer is no address: it begins with "<html><body>203.0.113.5</body></html>"`},
		"huge":          {200, strings.Repeat("203.0.113.5\n", 1<<20), "its answer has more than 256 bytes: that is no address"},
		"empty":         {200, "", "its answer is empty"},
		"IPv6":          {200, "2001:db8::1", `its answer is the IPv6 address "2001:db8::1", and a knock carries an IPv4 one`},
		"garbage":       {200, "\x1b]0;\x07", `its answer is no address: it begins with "\x1b]0;\a"`},
		"not found":     {404, "203.0.113.5", "its answer is HTTP status 404"},
		"too often":     {429, "203.0.113.5", "its answer is HTTP status 429"},
		"no content":    {204, "", "its answer is HTTP status 204"},
		"no such thing": {799, "203.0.113.5", "its answer is HTTP status 799"},
		"to nowhere":    {302, "203.0.113.5", "it redirects to something that is no URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, say(test.status, test.text))
			ip, err := Ask(t.Context(), s.URL+"/ip?token=SECRET")
			refused(t, ip, err, s.URL+"/ip", test.want)
		})
	}
}

// raw starts a service that reads a request and answers with these bytes; it gives its address and the requests.
func raw(t *testing.T, answer string) (string, <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	requests := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		var request strings.Builder
		for r := bufio.NewReader(c); !strings.HasSuffix(request.String(), "\r\n\r\n"); {
			line, err := r.ReadString('\n')
			if request.WriteString(line); err != nil {
				break
			}
		}
		requests <- request.String()
		io.WriteString(c, answer)
	}()
	return l.Addr().String(), requests
}

// The whole of a request says no more than it must.
func TestRequest(t *testing.T) {
	t.Parallel()
	host, requests := raw(t, "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\n\r\n203.0.113.5")
	if _, err := Ask(t.Context(), "http://"+host+"/ip?format=text"); err != nil {
		t.Fatal(err)
	}
	want := "GET /ip?format=text HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: Go-http-client/1.1\r\nConnection: close\r\n\r\n"
	if diff := cmp.Diff(want, <-requests); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What is no HTTP gives an error that neither fills the screen nor does anything to it.
func TestNoHTTP(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"nothing":           "",
		"SSH":               "SSH-2.0-OpenSSH_9.2p1\r\n",
		"escapes":           "HTTP/1.1 \x1b[2J\x1b]0;x\x07\r\n\r\n",
		"a line for ever":   "HTTP/1.1 200 " + strings.Repeat("\x1b[2J", 1<<18),
		"headers for ever":  "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 1<<16) + "\r\n203.0.113.5",
		"a broken header":   "HTTP/1.1 200 OK\r\n\x1b[2J\r\n\r\n",
		"cut in the answer": "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n203.0.113.5",
		"a broken address":  "HTTP/1.1 302 Found\r\nLocation: http://\x1b[2J" + strings.Repeat("x", 4000) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, _ := raw(t, answer)
			ip, err := Ask(t.Context(), "http://"+host+"/?SECRET")
			said := text(err)
			if begin := fmt.Sprintf("failed to ask %q for the outside address: ", "http://"+host+"/"); !strings.HasPrefix(said, begin) ||
				strings.Contains(said, "\x1b") || strings.Contains(said, "SECRET") || len(said) > 400 || ip.IsValid() {
				t.Errorf("got %v, %q", ip, said)
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	s := serve(t, say(200, ""))
	s.Close()
	ip, err := Ask(t.Context(), s.URL)
	refused(t, ip, err, s.URL, "dial tcp4 "+s.Listener.Addr().String()+": connect: connection refused")
}

// One that does not answer, or not to the end, is not waited for.
func TestSlow(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]string{"at all": "", "to the end": "203.0.113.5"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if io.WriteString(w, begin); begin != "" {
					w.(http.Flusher).Flush()
				}
				<-r.Context().Done()
			})
			ip, err := asker{limit: 100 * time.Millisecond}.ask(t.Context(), s.URL)
			refused(t, ip, err, s.URL, "no answer within 100ms")
		})
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	ip, err := Ask(ctx, s.URL)
	if refused(t, ip, err, s.URL, "context canceled"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, which is not context.Canceled", err)
	}
}

func TestWrongService(t *testing.T) {
	t.Parallel()
	ip, err := Ask(t.Context(), "https://u:SECRET@ip.example.org/")
	want := "failed to ask for the outside address: the service is wrong: a user name or password in the URL would tell the service who asks"
	if text(err) != want || ip.IsValid() {
		t.Errorf("got %v, %v, want %s", ip, err, want)
	}
}

// A service with addresses of both kinds is asked over IPv4.
func TestOverIPv4(t *testing.T) {
	t.Parallel()
	four := serve(t, say(200, "203.0.113.4"))
	_, port, _ := net.SplitHostPort(four.Listener.Addr().String())
	l, err := net.Listen("tcp6", "[::1]:"+port)
	if err != nil {
		t.Fatal(err)
	}
	six := httptest.NewUnstartedServer(say(200, "203.0.113.6"))
	six.Listener.Close()
	six.Listener = l
	six.Start()
	t.Cleanup(six.Close)
	got, err := Ask(t.Context(), "http://localhost:"+port)
	if want := netip.MustParseAddr("203.0.113.4"); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// Redirects are followed on the same host, without cookies.
func TestRedirect(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RequestURI() {
		case "/":
			w.Header().Set("Set-Cookie", "a=b; Path=/")
			http.Redirect(w, r, "/ip?x", http.StatusFound)
		case "/ip?x":
			fmt.Fprint(w, "203.0.113.", len(r.Cookies())+len(r.Header["Referer"]))
		}
	})
	got, err := Ask(t.Context(), s.URL)
	if want := netip.MustParseAddr("203.0.113.0"); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// Redirects that go elsewhere, or on and on, are not followed, and nobody else is asked.
func TestRedirectsRefused(t *testing.T) {
	t.Parallel()
	var others atomic.Int32
	other := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		others.Add(1)
		io.WriteString(w, "203.0.113.5")
	})
	elsewhere := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	for name, test := range map[string]struct{ to, want string }{
		"another host":  {elsewhere, `it redirects to another host, "localhost": if that is meant, name it`},
		"a subdomain":   {"http://a.127.0.0.1/", `it redirects to another host, "a.127.0.0.1": if that is meant, name it`},
		"a user":        {strings.Replace(other.URL, "//", "//u:p@", 1), "it redirects to a URL that cannot be asked"},
		"a file":        {"file://127.0.0.1/etc/passwd", "it redirects to a URL that cannot be asked"},
		"no URL":        {"http://127.0.0.1:x/", "it redirects to something that is no URL"},
		"round":         {"/", "it redirects more than 3 times"},
		"the same host": {other.URL, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			others.Store(0)
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Location", test.to)
				w.WriteHeader(http.StatusFound)
			})
			ip, err := Ask(t.Context(), s.URL)
			if test.want == "" {
				if err != nil || others.Load() != 1 {
					t.Errorf("got %v, %v, and the other was asked %d times", ip, err, others.Load())
				}
				return
			}
			refused(t, ip, err, s.URL, test.want)
			if others.Load() != 0 || asked.Load() > maxRedirects+1 {
				t.Errorf("it was asked %d times, another %d times", asked.Load(), others.Load())
			}
		})
	}
}

// Certificates are checked, and https does not become http.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	plain := serve(t, say(200, "203.0.113.5"))
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/down" {
			http.Redirect(w, r, plain.URL, http.StatusFound)
			return
		}
		io.WriteString(w, "203.0.113.6")
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of the client that does not trust it
	s.StartTLS()
	t.Cleanup(s.Close)
	ip, err := Ask(t.Context(), s.URL)
	refused(t, ip, err, s.URL, "tls: failed to verify certificate: x509: certificate signed by unknown authority")

	trusting := asker{limit: timeout, roots: x509.NewCertPool()}
	trusting.roots.AddCert(s.Certificate())
	ip, err = trusting.ask(t.Context(), s.URL+"/down")
	refused(t, ip, err, s.URL+"/down", "it redirects from https to what anybody on the way can change")
	got, err := trusting.ask(t.Context(), s.URL)
	if want := netip.MustParseAddr("203.0.113.6"); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}
