package ui

import "github.com/xrash/smetrics"

// Nearest gives the one of names that word was most likely meant to be, or "" if none is like it: more than three
// changes of a letter, or in more than half of the letters, are another word.
func Nearest(word string, names []string) string {
	best, bestCost := "", 1+min(3, len(word)/2)
	for _, name := range names {
		if cost := smetrics.WagnerFischer(word, name, 1, 1, 1); cost < bestCost {
			best, bestCost = name, cost
		}
	}
	return best
}
