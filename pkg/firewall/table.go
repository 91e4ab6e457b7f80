package firewall

import "slices"

// table is the rules of ours that a DryRun or a Fake holds.
type table struct {
	// entries are in the order in which a packet meets them: what lets in, the
	// latest first, then drops.
	entries []Entry
	// added and deleted, if not nil, are told of each change.
	added, deleted func(Entry)
}

// put puts e in, whatever is there.
func (t *table) put(e Entry) {
	at := 0
	if e.Action == Drop {
		at = len(t.entries)
	}
	t.entries = slices.Insert(t.entries, at, e)
	if t.added != nil {
		t.added(e)
	}
}

// remove takes out the entries that which picks, and tells how many they were.
func (t *table) remove(which func(Entry) bool) int {
	before := len(t.entries)
	t.entries = slices.DeleteFunc(t.entries, func(e Entry) bool {
		if !which(e) {
			return false
		}
		if t.deleted != nil {
			t.deleted(e)
		}
		return true
	})
	return before - len(t.entries)
}

// removeRule takes out a rule, whatever its end, and tells of how many entries.
func (t *table) removeRule(r Rule) int {
	return t.remove(func(e Entry) bool { return e.Rule == r })
}

// set puts e in, in place of the same rule with another end, and tells whether
// it was missing.
func (t *table) set(e Entry) bool {
	missing := !slices.Contains(t.entries, e)
	if missing {
		t.put(e)
	}
	t.remove(func(o Entry) bool { return o.Rule == e.Rule && o != e })
	return missing
}

// sync makes t hold exactly want, in which each rule is once.
func (t *table) sync(want []Entry) Changes {
	var c Changes
	keep := make(map[Rule]bool, len(want))
	for _, e := range want {
		keep[e.Rule] = true
	}
	seen := make(map[Entry]bool, len(t.entries))
	gone := make(map[Rule]bool)
	t.remove(func(e Entry) bool {
		if !keep[e.Rule] && !gone[e.Rule] {
			gone[e.Rule] = true
			c.Removed = append(c.Removed, e.Rule)
		}
		copied := seen[e]
		seen[e] = true
		return !keep[e.Rule] || copied
	})
	for _, e := range want {
		if t.set(e) {
			c.Restored = append(c.Restored, e.Rule)
		}
	}
	c.sort()
	return c
}

// forwards reports whether one of list forwards.
func forwards(list []Entry) bool {
	return slices.ContainsFunc(list, func(e Entry) bool { return e.Action == Forward })
}
