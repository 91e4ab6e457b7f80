package knocklab

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const deadline = 20 * time.Second

// start serves a page until the test ends, and gives its URL, a function that ends it
// and what Serve then gave.
func start(t *testing.T, port uint16) (page string, cancel func(), ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	urls, results := make(chan string, 1), make(chan error, 1)
	go func() { results <- Serve(ctx, port, func(url string) { urls <- url }) }()
	t.Cleanup(cancel)
	select {
	case page = <-urls:
	case err := <-results:
		t.Fatalf("Serve: %v", err)
	}
	return page, cancel, results
}

func TestServe(t *testing.T) {
	t.Parallel()
	page, cancel, ended := start(t, 0)
	address := strings.TrimSuffix(strings.TrimPrefix(page, "http://"), "/")
	if addr, err := netip.ParseAddrPort(address); err != nil || addr.Addr() != netip.MustParseAddr("127.0.0.1") || addr.Port() == 0 {
		t.Fatalf("the URL is %q", page)
	}
	response, err := http.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), "<title>Knock Lab</title>") {
		t.Errorf("%v, %v:\n%s", response.Status, err, body)
	}

	// Nothing listens on any other address of this machine.
	_, port, _ := net.SplitHostPort(address)
	for _, other := range []string{"127.0.0.2", "::1"} {
		if conn, err := net.DialTimeout("tcp", net.JoinHostPort(other, port), deadline); err == nil {
			conn.Close()
			t.Errorf("it listens on %s too", other)
		}
	}
	// A connection that asks nothing holds up no end.
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Serve: %v", err)
		}
	case <-time.After(deadline):
		t.Fatal("Serve does not end")
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
}

func TestServeTakenPort(t *testing.T) {
	t.Parallel()
	page, _, _ := start(t, 0)
	at, err := url.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(at.Host)
	err = Serve(t.Context(), addr.Port(), func(string) { t.Error("announced") })
	if err == nil || !strings.Contains(err.Error(), `failed to listen on "`+at.Host+`"`) {
		t.Errorf("error %v", err)
	}
}

func TestServeNotAtAll(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Serve(ctx, 0, func(string) {}); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// More connections than there is room for wait: the first ones are answered.
func TestServeManyConnections(t *testing.T) {
	t.Parallel()
	page, _, _ := start(t, 0)
	address := strings.TrimSuffix(strings.TrimPrefix(page, "http://"), "/")
	var conns []net.Conn
	for range maxConns + 1 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "HEAD / HTTP/1.1\r\nHost: "+address+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	answered := func(conn net.Conn) bool {
		conn.SetReadDeadline(time.Now().Add(deadline))
		b := make([]byte, 12)
		_, err := io.ReadFull(conn, b)
		return err == nil && string(b) == "HTTP/1.1 200"
	}
	for i, conn := range conns[:maxConns] {
		if !answered(conn) {
			t.Fatalf("connection %d is not answered", i+1)
		}
	}
	last := conns[maxConns]
	last.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := last.Read(make([]byte, 1)); err == nil {
		t.Errorf("one too many got %d bytes", n)
	}
	conns[0].Close()
	if !answered(last) {
		t.Error("it is not answered when there is room")
	}
}

const ourPort = 40123

// request is one to the page's handler; what is empty is as the page has it.
type request struct {
	method, path, host, body string
	header                   map[string]string
}

func (r request) do(t *testing.T) *httptest.ResponseRecorder {
	t.Helper()
	if r.method == "" {
		r.method = http.MethodPost
	}
	in := httptest.NewRequest(r.method, "http://127.0.0.1:40123"+r.path, strings.NewReader(r.body))
	if r.host != "" {
		in.Host = r.host
	}
	if r.method == http.MethodPost {
		in.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.header {
		in.Header.Set(name, value)
	}
	out := httptest.NewRecorder()
	newHandler(ourPort).ServeHTTP(out, in)
	return out
}

func TestGuard(t *testing.T) {
	t.Parallel()
	const body = `{"passphrase":"knock","ip":"142.103.205.1","port":"22","time":"15"}`
	for name, tt := range map[string]struct {
		request
		want int
	}{
		"page":                   {request{"GET", "/", "", "", nil}, 200},
		"localhost":              {request{"GET", "/", "localhost:40123", "", nil}, 200},
		"head":                   {request{"HEAD", "/lab.css", "", "", nil}, 200},
		"question":               {request{"POST", "/seal", "", body, nil}, 200},
		"own page":               {request{"POST", "/seal", "", body, map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:40123"}}, 200},
		"charset":                {request{"POST", "/seal", "", body, map[string]string{"Content-Type": "application/json; charset=utf-8"}}, 200},
		"other name":             {request{"GET", "/", "rebind.example:40123", "", nil}, 421},
		"question, other name":   {request{"POST", "/seal", "rebind.example:40123", body, nil}, 421},
		"other port":             {request{"GET", "/", "127.0.0.1:40124", "", nil}, 421},
		"no port":                {request{"GET", "/", "127.0.0.1", "", nil}, 421},
		"other address":          {request{"GET", "/", "127.0.0.2:40123", "", nil}, 421},
		"name within":            {request{"GET", "/", "127.0.0.1:40123.example", "", nil}, 421},
		"other site":             {request{"POST", "/seal", "", body, map[string]string{"Sec-Fetch-Site": "cross-site"}}, 403},
		"other port's page":      {request{"POST", "/seal", "", body, map[string]string{"Sec-Fetch-Site": "same-site"}}, 403},
		"other origin":           {request{"POST", "/seal", "", body, map[string]string{"Origin": "http://127.0.0.1:80"}}, 403},
		"no origin":              {request{"POST", "/seal", "", body, map[string]string{"Origin": "null"}}, 403},
		"form":                   {request{"POST", "/seal", "", body, map[string]string{"Content-Type": "text/plain"}}, 415},
		"no type":                {request{"POST", "/seal", "", body, map[string]string{"Content-Type": ""}}, 415},
		"question by GET":        {request{"GET", "/seal?passphrase=knock", "", "", nil}, 405},
		"page by POST":           {request{"POST", "/", "", body, nil}, 405},
		"delete":                 {request{"DELETE", "/", "", "", nil}, 405},
		"no such file":           {request{"GET", "/serve.go", "", "", nil}, 404},
		"directory":              {request{"GET", "/page/", "", "", nil}, 404},
		"way out":                {request{"GET", "/../serve.go", "", "", nil}, 307},
		"too large":              {request{"POST", "/seal", "", `{"iv":"` + strings.Repeat("0", maxBody) + `"}`, nil}, 413},
		"not JSON":               {request{"POST", "/seal", "", "passphrase=knock", nil}, 400},
		"two questions":          {request{"POST", "/seal", "", body + body, nil}, 400},
		"not text":               {request{"POST", "/seal", "", strings.Replace(body, "knock", "\xff", 1), nil}, 400},
		"other kind of question": {request{"POST", "/seal", "", `{"port":22}`, nil}, 400},
		"faults":                 {request{"POST", "/seal", "", `{}`, nil}, 422},
		"nothing to open":        {request{"POST", "/open", "", `{"passphrase":"knock"}`, nil}, 422},
		"nothing to forge":       {request{"POST", "/forge", "", `{}`, nil}, 422},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := tt.request.do(t)
			if got.Code != tt.want {
				t.Errorf("status %d, want %d: %s", got.Code, tt.want, got.Body)
			}
			for header, want := range headers {
				if value := got.Header().Get(header); value != want {
					t.Errorf("%s: %q, want %q", header, value, want)
				}
			}
			if strings.Contains(got.Body.String(), "Knock Lab</title>") != (tt.want == 200 && tt.path == "/") {
				t.Errorf("the page is there, or is not:\n%s", got.Body)
			}
		})
	}
}

func TestPort80(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{"127.0.0.1": true, "localhost": true, "127.0.0.1:80": true, "localhost:81": false, "example.org": false} {
		if got := isOurs(host, 80); got != want {
			t.Errorf("isOurs(%q, 80) = %v", host, got)
		}
	}
}

// What is answered is what the functions give, or the faults by field.
func TestAnswers(t *testing.T) {
	t.Parallel()
	want, err := Seal(published)
	if err != nil {
		t.Fatal(err)
	}
	var got Trace
	out := request{path: "/seal", body: `{"passphrase":"knock","ip":"142.103.205.1","port":"22","time":"15"}`}.do(t)
	if err := json.Unmarshal(out.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("seal (-want +got)\n%s", diff)
	}
	var read Opened
	out = request{path: "/open", body: `{"passphrase":"knock","sequence":"` + publishedPorts + `"}`}.do(t)
	if err := json.Unmarshal(out.Body.Bytes(), &read); err != nil || !read.Good || read.Says != want.Says {
		t.Errorf("open: %v, %s", err, out.Body)
	}
	var forged Forged
	question, err := json.Marshal(heard)
	if err != nil {
		t.Fatal(err)
	}
	out = request{path: "/forge", body: string(question)}.do(t)
	if err := json.Unmarshal(out.Body.Bytes(), &forged); err != nil || !forged.Refused || forged.Changed != 7 {
		t.Errorf("forge: %v, %s", err, out.Body)
	}
	out = request{path: "/seal", body: `{"passphrase":"knock","ip":"142.103.205.1","port":"256","time":"15"}`}.do(t)
	const faults = `{"faults":{"port":"256 is out of range: want a TCP port; a knock has one byte for it, 0 to 255"}}` + "\n"
	if out.Body.String() != faults {
		t.Errorf("faults: %s", out.Body)
	}
}

// Every file of the page is served, and none of them names anything elsewhere.
func TestFiles(t *testing.T) {
	t.Parallel()
	entries, err := fs.ReadDir(page, "page")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := regexp.MustCompile(`(?i)(?:https?:)?//[a-z0-9]|<style|style=|\son\w+=|innerHTML|\beval\b|localStorage|console\.`)
	var there, served []string
	for _, entry := range entries {
		there = append(there, entry.Name())
		text, err := fs.ReadFile(page, "page/"+entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range elsewhere.FindAllString(strings.ReplaceAll(string(text), "http://www.w3.org/2000/svg", ""), -1) {
			t.Errorf("%s has %q", entry.Name(), found)
		}
	}
	for path, file := range files {
		served = append(served, file.name)
		got := request{method: "GET", path: strings.TrimSuffix(path, "{$}")}.do(t)
		if got.Code != 200 || got.Header().Get("Content-Type") != file.kind || got.Body.Len() == 0 {
			t.Errorf("%s: %d, %v", path, got.Code, got.Header())
		}
	}
	slices.Sort(served)
	if diff := cmp.Diff(there, served); diff != "" {
		t.Errorf("files (-there +served)\n%s", diff)
	}
}
