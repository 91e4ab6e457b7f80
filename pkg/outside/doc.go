// Package outside asks a service on the web which IPv4 address it sees.
//
// Behind address translation no machine knows the address that others see. A service that is asked over the web does, and
// learns in return that somebody at this address asks: it is for the user to choose one, and there is none by default.
// Whoever answers decides to whom a port is opened, and over http whoever is on the way can: https is better.
//
// What the answer is used for is left to others.
package outside
