package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/portknock/knock/pkg/knocklab"
)

// startLab serves the Knock Lab for one test and gives its URL.
func startLab(t *testing.T) (url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	urls, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- knocklab.Serve(ctx, 0, func(url string) { urls <- url }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	select {
	case url = <-urls:
	case err := <-ended:
		ended <- nil
		t.Fatalf("Serve: %v", err)
	}
	return url
}

// A browser is a Chromium of a test's own, and a Knock Lab to look at.
type browser struct {
	t   *testing.T
	ctx context.Context
	url string

	mu       sync.Mutex // guards what follows
	requests []string   // URLs
	said     []string   // on the console, or thrown
}

// browsing is how long a test may take that looks at the page.
const browsing = 5 * time.Minute

// newBrowser starts a browser to which the names of hosts all fail to resolve, but for
// rebind.test, which is this machine.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	needPrograms(t, "chromium:chromium")
	b := &browser{t: t, url: startLab(t)}
	profile := t.TempDir()
	var options []chromedp.ExecAllocatorOption
	for _, flag := range []string{
		"headless", "hide-scrollbars", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
		"disable-component-update", "disable-sync", "disable-default-apps", "disable-extensions", "disable-dev-shm-usage",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	options = append(options, chromedp.ExecPath("chromium"), chromedp.UserDataDir(profile), chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("host-resolver-rules", "MAP rebind.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))
	ctx, cancel := context.WithTimeout(t.Context(), browsing)
	ctx, cancelAllocator := chromedp.NewExecAllocator(ctx, options...)
	ctx, cancelTab := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		cancelTab() // closes the browser and waits for it
		cancelAllocator()
		cancel()
		eventually(t, "the processes of Chromium to be gone", func() bool { return !inCommandLines(profile) })
	})
	b.ctx = ctx
	b.run(chromedp.EmulateViewport(1280, 900))
	chromedp.ListenTarget(ctx, b.hear)
	b.run(network.Enable())
	return b
}

func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *runtime.EventExceptionThrown:
		b.said = append(b.said, e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		b.said = append(b.said, string(e.Type))
	}
}

// inCommandLines tells whether a process has text among its arguments.
func inCommandLines(text string) bool {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	return slices.ContainsFunc(paths, func(path string) bool {
		line, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(line), text)
	})
}

func (b *browser) run(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// settled waits until the answers are there.
func (b *browser) settled(sections ...string) {
	b.t.Helper()
	for _, section := range sections {
		b.run(chromedp.WaitReady("#"+section+"-result[aria-busy=false]", chromedp.ByQuery))
	}
}

// open opens the page anew, for t.
func (b *browser) open(t *testing.T) {
	t.Helper()
	b.t = t
	b.run(chromedp.EmulateViewport(1280, 900), emulation.SetEmulatedMedia(), chromedp.Navigate(b.url))
	b.settled("make", "forge")
}

// text gives what is to be read in the first element of a selector.
func (b *browser) text(selector string) (text string) {
	b.t.Helper()
	b.run(chromedp.Text(selector, &text, chromedp.ByQuery))
	return strings.TrimSpace(text)
}

// js gives what an expression comes to.
func js[T any](b *browser, expression string) (value T) {
	b.t.Helper()
	b.run(chromedp.Evaluate(expression, &value))
	return value
}

// texts gives what is to be read in all elements of a selector.
func (b *browser) texts(selector string) []string {
	b.t.Helper()
	return js[[]string](b, fmt.Sprintf("[...document.querySelectorAll(%q)].map((e) => e.innerText ?? e.textContent)", selector))
}

// fill types a value over what stands in a field.
func (b *browser) fill(id, value string) {
	b.t.Helper()
	b.run(chromedp.Focus("#"+id, chromedp.ByQuery), chromedp.Evaluate("document.activeElement.select()", nil))
	if value == "" {
		value = kb.Backspace
	}
	b.run(chromedp.KeyEvent(value))
}

// choose takes an option.
func (b *browser) choose(id, option string) {
	b.t.Helper()
	b.run(chromedp.SetValue("#"+id, option, chromedp.ByQuery),
		chromedp.Evaluate(fmt.Sprintf("document.getElementById(%q).dispatchEvent(new Event('input', { bubbles: true }))", id), nil))
}

func (b *browser) click(id string) {
	b.t.Helper()
	b.run(chromedp.Click("#"+id, chromedp.ByQuery))
}

// wait waits until an expression is true.
func (b *browser) wait(expression string) {
	b.t.Helper()
	b.run(chromedp.Poll(expression, nil, chromedp.WithPollingTimeout(patience)))
}

// column gives the cells of a table's column, the first of which is 1.
func (b *browser) column(table string, n int) []string {
	b.t.Helper()
	return b.texts(fmt.Sprintf("%s tbody tr > :nth-child(%d)", table, n))
}

// A node is what an element is told as to who does not see it.
type node struct {
	Ignored bool    `json:"ignored"`
	Role    axValue `json:"role"`
	Name    axValue `json:"name"`
}

type axValue struct {
	Value string `json:"value"`
}

// tree gives the page as it is told to who does not see it. (The library's own types
// do not know all that this Chromium says.)
func (b *browser) tree() []node {
	b.t.Helper()
	var answer struct {
		Nodes []node `json:"nodes"`
	}
	b.run(chromedp.ActionFunc(func(ctx context.Context) error {
		return cdp.Execute(ctx, "Accessibility.getFullAXTree", nil, &answer)
	}))
	return answer.Nodes
}
