// Package pad stub.
package pad

import "errors"

const Length = 15

var ErrSpent = errors.New("x")

type Receiver struct{}

func OpenReceiver(path, dir string, n int) (*Receiver, error) { return nil, nil }
func OpenReader(path, dir string, n int) (*Receiver, error)   { return nil, nil }
func (r *Receiver) Open([]byte) ([7]byte, int, error)         { return [7]byte{}, 0, nil }
func (r *Receiver) Use(int) error                             { return nil }
func (r *Receiver) Close() error                              { return nil }
func (r *Receiver) Same(*Receiver) bool                       { return false }
