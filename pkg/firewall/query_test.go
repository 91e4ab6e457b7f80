package firewall

import (
	"errors"
	"strings"
	"testing"
)

func TestListing(t *testing.T) {
	t.Parallel()
	got, err := Listing(t.Context(), script(t, `printf '%s|' "$@"; echo "$LC_ALL"`), "-t", "list", "two words")
	if want := "-t|list|two words|C\n"; got != want || err != nil {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestListingFails(t *testing.T) {
	t.Parallel()
	if _, err := Listing(t.Context(), "/nowhere/nft"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no program: %v", err)
	}
	refuses := script(t, `echo "Operation not permitted (you must be root)" >&2; exit 1`)
	got, err := Listing(t.Context(), refuses, "list")
	if got != "" || !errors.Is(err, ErrNotPermitted) || !strings.HasPrefix(err.Error(), "failed to list the rules: ") {
		t.Errorf("no privilege: %q, %v", got, err)
	}
}
