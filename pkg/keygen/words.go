package keygen

import (
	"cmp"
	"fmt"
	"strings"
)

// words says what to do with a key in the file at path, which is absolute.
func words(o Options, path, key string, p place) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "A key of 256 random bits is in %s (mode 0600).\n\n", path)
	daemonWords(&b, o, path)
	if p.service {
		serviceWords(&b, path)
	}
	clientWords(&b, path, p)
	if !o.QR {
		return b.String(), nil
	}
	fmt.Fprint(&b, "\nThe code below IS the key, with the lines for the client: whoever sees or photographs it\n",
		"can knock. When it is scanned, clear the screen and what can be scrolled back to.\n\n")
	code, err := drawCode(clientLines(p.host, "key = "+key))
	return b.String() + code, err
}

func daemonWords(b *strings.Builder, o Options, path string) {
	conf := cmp.Or(o.Conf, "/etc/knockdaemon.conf")
	line := "key-file = " + value(path)
	if o.Name == "" {
		fmt.Fprintf(b, "In %s, above the first section, in place of any other key there:\n\n    %s\n\n", conf, line)
		return
	}
	fmt.Fprintf(b, "In %s, at the end:\n\n    [key %s]\n    %s\n\n", conf, o.Name, line)
}

// serviceWords is for a daemon that is not root.
func serviceWords(b *strings.Builder, path string) {
	fmt.Fprintf(b, "The service runs as the user %s, which must own the file:\n\n    chown %[1]s %s\n\n", serviceUser, quote(path))
	if dir := hidden(path); dir != "" {
		fmt.Fprintf(b, "The service does not see what is in %s: move the file, to /etc for example.\n\n", dir)
	}
}

func clientWords(b *strings.Builder, path string, p place) {
	file := "~/" + title(p.host) + ".key"
	fmt.Fprint(b, "In ~/.knockclient.conf on the client, at the end:\n\n")
	for line := range strings.Lines(clientLines(p.host, "key-file = "+file)) {
		fmt.Fprintf(b, "    %s", line)
	}
	from := p.host + ":" + path
	if p.user != "" {
		from = p.user + "@" + from
	}
	fmt.Fprint(b, "\nhost is the name or address by which the client reaches this machine, port what it asks for.\n",
		"If the daemon's file says cipher, header, iv, iv-length or port-min, say the same there.\n\n",
		"Copy the key to the client, where nobody else may read it; there, for example:\n\n")
	fmt.Fprintf(b, "    scp %s %s\n    chmod 600 %[2]s\n", quote(from), file)
}

// clientLines is the section for a client's configuration file; secret is the line that says which key.
func clientLines(host, secret string) string {
	return fmt.Sprintf("[%s]\nhost = %s\nport = 22\n%s\n", title(host), host, secret)
}

// value writes a path so that the reader of a configuration file leaves its last blanks.
func value(path string) string {
	if strings.HasSuffix(path, " ") {
		return `"` + path + `"`
	}
	return path
}

// quote writes v as one word for a shell.
func quote(v string) string {
	if !strings.ContainsFunc(v, func(c rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+=:,@%", c)
	}) {
		return v
	}
	return "'" + strings.ReplaceAll(v, "'", `'\''`) + "'"
}
