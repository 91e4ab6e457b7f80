package config

import (
	"errors"
	"fmt"

	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/ui"
)

// sealing makes the settings that both ends must agree on, except the passphrase.
func sealing(o *knock.Options) []Setting {
	return []Setting{
		setting("cipher",
			"the `CIPHER`: Blowfish, DES, Rijndael or none (default: Blowfish)",
			func(v string) (err error) { o.Cipher, err = knock.ParseCipher(v); return err },
		).among("Blowfish", "DES", "Rijndael", "none"),
		pick("header",
			"the `HEADER` of the message: none (both ends know the IV) or randomiv (the knock carries it) (default: none)",
			&o.Header, knock.HeaderNone, knock.HeaderRandomIV),
		setting("iv",
			"the initialisation `VECTOR`, 8 bytes, or 16 with Rijndael; with the header 1 to 8 (default: 01234567, or random)",
			func(v string) error { o.IV = []byte(v); return notEmpty(v) }),
		setting("iv-length",
			"with the header, how many `BYTES` of IV a knock carries (default: 8)",
			integer(&o.IVLength, "bytes", 1, 8)),
		setting("port-min",
			"the first of the 256 knock `PORT`s (default: 745)",
			integer(&o.PortMin, "a port with 255 more above it", 1, knock.MaxPortMin)),
	}
}

// verbosity makes the settings of what a command says while it works.
func verbosity(debug, quiet *bool) []Setting {
	return []Setting{
		toggle("debug", "say more", debug),
		toggle("quiet", "say only what went wrong", quiet),
	}
}

// settleVerbosity has the one that a flag asks for win over the other, if a file or a section asks for that.
func settleVerbosity(debug, quiet *bool, from origins) error {
	if !*debug || !*quiet {
		return nil
	}
	if from.isFlag("debug") == from.isFlag("quiet") {
		return from.at("quiet", errors.New("debug and quiet exclude each other"))
	}
	*debug, *quiet = from.isFlag("debug"), from.isFlag("quiet")
	return nil
}

// confSetting is the flag -conf, which load has looked for already.
func confSetting(defaults string) Setting {
	return flagOnly("conf", "read settings from `FILE` (default: "+defaults+")", notEmpty)
}

// checkHeader refuses what does not go with the header.
func checkHeader(o *knock.Options, from origins) error {
	sent := o.Header == knock.HeaderRandomIV
	switch {
	case sent && (o.Cipher == knock.CipherNone || o.Cipher == knock.CipherRijndael):
		return from.at("header", fmt.Errorf("randomiv goes with Blowfish and DES only: %s has none", o.Cipher))
	case o.IVLength != 0 && !sent:
		return from.at("iv-length", errors.New("it goes with header = randomiv only: without the header an IV has a block's length"))
	}
	return nil
}

// withKey fills in the passphrase and checks the knock's options as a whole: what is left to be wrong is the IV.
func withKey(o *knock.Options, s *secret, from origins) error {
	if o.Cipher != knock.CipherNone {
		key, err := s.passphrase()
		if err != nil {
			return err
		}
		o.Passphrase = key
	}
	_, err := knock.New(*o)
	return from.at("iv", err)
}

// keyWarnings tells of a key that others can see.
func keyWarnings(flags []ui.Given) []string {
	for _, v := range flags {
		if v.Name == "key" {
			return []string{"the key on the command line can be seen in ps and stays in the shell's history: use -key-file"}
		}
	}
	return nil
}
