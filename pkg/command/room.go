package command

import "fmt"

// A room is what a job takes up, with others that owe a stop command, or owe none: of its section, or, if that is
// empty, of all.
type room struct {
	name string
	owes bool
}

// hold counts a job.
func (r *Runner) hold(j Job) {
	owes := !j.Stop.IsZero()
	r.held[room{j.Name, owes}]++
	r.held[room{"", owes}]++
}

// full tells why there is no room for one more job like j.
func (r *Runner) full(j Job) error {
	owes := !j.Stop.IsZero()
	switch {
	case r.held[room{j.Name, owes}] >= maxHeld:
		return fmt.Errorf("%w: %d of %q", ErrFull, maxHeld, j.Name)
	case r.held[room{"", owes}] >= maxTotal:
		return fmt.Errorf("%w: %d", ErrFull, maxTotal)
	}
	return nil
}
