//go:build !unix

package config

import "os"

// foreign cannot be told here.
func foreign(os.FileInfo) bool { return false }

// giveTo leaves a new file to who made it: a folder says who may use what is in it.
func giveTo(*os.File, os.FileInfo) error { return nil }

// lockDir locks nothing: folders cannot be locked here.
func lockDir(path string) (*os.File, error) { return os.Open(path) }
