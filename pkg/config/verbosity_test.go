package config

import "testing"

// Of debug and quiet the one that a flag asks for wins over the one of the file.
func TestVerbosity(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file, flag   string
		debug, quiet bool
	}{
		"a flag says more": {"quiet = true", "-debug=true", true, false},
		"a flag is quiet":  {"debug = true", "-quiet=true", false, true},
		"a flag unsays it": {"quiet = true", "-quiet=false", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf := "-conf=" + write(t, "key = k\n"+test.file+"\n", 0o600)
			d, err := LoadDaemon(flags(conf, "-log=l", test.flag), noEnv)
			if err != nil {
				t.Fatal(err)
			}
			if d.Debug != test.debug || d.Quiet != test.quiet {
				t.Errorf("the daemon: debug %v, quiet %v, want %v, %v", d.Debug, d.Quiet, test.debug, test.quiet)
			}
			c, err := LoadClient(flags(conf, "-port=22", test.flag), []string{"host"}, noEnv)
			if err != nil {
				t.Fatal(err)
			}
			if c.Debug != test.debug || c.Quiet != test.quiet {
				t.Errorf("the client: debug %v, quiet %v, want %v, %v", c.Debug, c.Quiet, test.debug, test.quiet)
			}
		})
	}
}
