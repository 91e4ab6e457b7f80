package outside

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// CheckService tells whether v can be asked: a URL of http or https with a host, and perhaps a port, a path and a query,
// but no user information and no fragment. Http is allowed; as anybody on the way can change its answers, a caller that
// takes it should warn. An error does not repeat v, which may hold a password.
func CheckService(v string) error {
	_, err := parseService(v)
	return err
}

func parseService(v string) (*url.URL, error) {
	u, err := url.Parse(v)
	if err != nil {
		return nil, errors.New("want a URL like https://HOST/PATH")
	}
	return u, checkURL(u, strings.Contains(v, "#"))
}

// checkURL checks what CheckService says of a URL.
func checkURL(u *url.URL, fragment bool) error {
	switch host, err := netip.ParseAddr(u.Hostname()); {
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return errors.New("want a URL like https://HOST/PATH")
	case u.User != nil:
		return errors.New("a user name or password in the URL would tell the service who asks")
	case fragment:
		return errors.New("a fragment (# and what follows) is never sent: leave it out")
	case err == nil && !host.Is4():
		return errors.New("an IPv6 address cannot be asked: only over IPv4 does the service see the IPv4 address")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("%s is no port: want 1..65535", port)
		}
	}
	return nil
}

// nameOf is how errors call a service: without the query, in which people put what identifies them.
func nameOf(u *url.URL) string {
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// isLocal tells whether the service is on this machine, by its name.
func isLocal(u *url.URL) bool {
	host, err := netip.ParseAddr(u.Hostname())
	return err == nil && host.IsLoopback() || strings.EqualFold(u.Hostname(), "localhost")
}
