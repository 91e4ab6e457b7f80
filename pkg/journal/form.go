package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Encode gives the bytes of a journal that holds v.
func (f File[T]) Encode(v T) ([]byte, error) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return append(fmt.Appendf(nil, "%s%x\n", f.head(), sha256.Sum256(body.Bytes())), body.Bytes()...), nil
}

// Decode reads the bytes of a journal. Whatever was cut, changed or written by another version is an error, and so is
// what JSON holds that T does not.
func (f File[T]) Decode(b []byte) (none T, err error) {
	head, body, _ := bytes.Cut(b, []byte("\n"))
	switch {
	case !bytes.HasPrefix(head, []byte(f.Form+" ")):
		return none, fmt.Errorf("it is no %s", f.Form)
	case !bytes.HasPrefix(head, []byte(f.head())):
		return none, errors.New("it is of another version")
	case string(head[len(f.head()):]) != fmt.Sprintf("%x", sha256.Sum256(body)):
		return none, errors.New("it is torn or was changed")
	}
	var v T
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		return none, fmt.Errorf("it cannot be read: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return none, errors.New("something follows its end")
	}
	if err := f.Check(v); err != nil {
		return none, err
	}
	return v, nil
}

// head is what the first line begins with.
func (f File[T]) head() string { return fmt.Sprintf("%s %d ", f.Form, f.Version) }
