package firewall

import (
	"context"
	"fmt"
)

// Mark is the comment that each rule of ours carries in the kernel.
const Mark = comment

// Listing runs a program that lists rules, iptables or nft, with exactly args, and
// gives what it printed, in English, 16 MiB at most. It has 10 s. The error wraps
// ErrNotFound if there is no such program, and ErrNotPermitted if the kernel
// refused to tell. Nothing keeps args from changing the firewall: the caller does.
func Listing(ctx context.Context, program string, args ...string) (string, error) {
	path, err := findProgram(program)
	if err != nil {
		return "", err
	}
	out, err := programRunner(path, runLimit)(ctx, args...)
	if err != nil {
		return "", fmt.Errorf("failed to list the rules: %w", err)
	}
	return out, nil
}
