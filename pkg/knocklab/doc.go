// Package knocklab is the Knock Lab: a page, served on a loopback address, on which
// people learn how a knock is made. They enter what it should say and see each step
// of its making, read a sequence of ports, or why it cannot be read, and forge a
// knock whose IV travels in clear.
//
// All figures come from the packages that the commands use (packages knock and
// cryptcbc): [Seal], [Open] and [Forge] only tell what these do, step by step, and
// the page only shows it. The package never knocks: its one socket is the listener
// of [Serve].
//
// # Security
//
// The page is for the person at this machine. It binds to 127.0.0.1 alone, answers
// only requests that name it so (a name of somebody else's that resolves to
// 127.0.0.1 is refused) and come from its own page, loads nothing from anywhere
// else, and keeps and logs nothing. Other users of the machine can open it too; as
// it knows no secret, they learn nothing from it.
package knocklab
