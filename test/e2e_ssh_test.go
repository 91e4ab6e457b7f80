package test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// startSSHD runs the real sshd at the gate until the test ends, and gives the laptop
// what it needs: the configuration of ssh, in which the host gate is reached through
// a knock, and direct is not, and that of knockclient.
func (l *lab) startSSHD() {
	l.t.Helper()
	needPrograms(l.t, "sshd:openssh-server", "ssh:openssh-client", "scp:openssh-client", "ssh-keygen:openssh-client")
	for _, name := range []string{"host", "id"} {
		l.must("", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(l.dir, name))
	}
	public := func(name string) string {
		text, err := os.ReadFile(filepath.Join(l.dir, name+".pub"))
		if err != nil {
			l.t.Fatal(err)
		}
		return string(text)
	}
	writeTemp(l.t, l.dir, "authorized", public("id"), 0o600)
	writeTemp(l.t, l.dir, "known", gateIP+" "+public("host"), 0o600)
	path := func(name string) string { return filepath.Join(l.dir, name) }
	writeTemp(l.t, l.dir, ".knockclient.conf", "key-file = "+l.keyFile+"\n", 0o600)
	writeTemp(l.t, l.dir, "ssh_config", fmt.Sprintf("Host gate\n\tProxyCommand knockclient -proxy %%h %%p\n"+
		"Host gate direct\n\tHostName %s\n\tUser root\n\tIdentityFile %s\n\tIdentitiesOnly yes\n\tUserKnownHostsFile %s\n\tBatchMode yes\n",
		gateIP, path("id"), path("known")), 0o600)
	conf := writeTemp(l.t, l.dir, "sshd_config", fmt.Sprintf("Port 22\nListenAddress %s\nHostKey %s\nAuthorizedKeysFile %s\n"+
		"StrictModes no\nPidFile none\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n",
		gateIP, path("host"), path("authorized")), 0o600)

	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // its service makes it
		l.t.Fatal(err)
	}
	program, err := exec.LookPath("sshd")
	if err != nil {
		l.t.Fatal(err)
	}
	said := new(watched)
	cmd := l.gate.command(program, "-D", "-e", "-f", conf)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	l.t.Cleanup(func() {
		<-ended // it was told to with the test's context
		if l.t.Failed() {
			l.t.Logf("sshd said:\n%s", said)
		}
	})
	eventually(l.t, "sshd to listen", func() bool { return strings.Contains(said.String(), "Server listening on "+gateIP) })
}

// ssh makes a command of the laptop's user: ssh, scp or knockclient.
func (l *lab) ssh(program string, args ...string) *exec.Cmd {
	if program != "knockclient" {
		args = append([]string{"-F", filepath.Join(l.dir, "ssh_config")}, args...)
	}
	cmd := l.laptop.command("env", append([]string{program}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+l.dir, "PATH="+l.bin+":"+os.Getenv("PATH"), "CONFIG="+filepath.Join(l.dir, "ssh_config"))
	return cmd
}

// wantSSH runs such a command, and insists on how it ends and on its output.
func (l *lab) wantSSH(cmd *exec.Cmd, status int, want string) {
	l.t.Helper()
	stdout, stderr, got := l.run(cmd)
	if got != status || stderr != "" {
		l.t.Errorf("%q: status %d, want %d; stderr %q", cmd.Args, got, status, stderr)
	}
	if len(want) > 1000 {
		if stdout != want {
			l.t.Errorf("%q: %d bytes came, which are not the %d that were sent", cmd.Args, len(stdout), len(want))
		}
	} else if diff := cmp.Diff(want, stdout); diff != "" {
		l.t.Errorf("%q: stdout (-want +got)\n%s", cmd.Args, diff)
	}
}

// One line of ssh's configuration, and ssh just works.
func TestSSH(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{})
	l.startSSHD()
	d := l.daemon()
	wrong := l.ssh("ssh", "-o", "ProxyCommand=knockclient -retries 0 -iv abcdefgh -proxy %h %p", "gate", "true")
	stdout, stderr, status := l.run(wrong)
	if ours := "knockclient: error: 192.0.2.1: port 22 is not open after 1 knock, "; status != 255 || stdout != "" ||
		!strings.HasPrefix(stderr, ours) || !strings.Contains(stderr, "\nknockclient: hint: ") || !strings.Contains(stderr, "Connection closed") {
		t.Errorf("with a wrong key: status %d, stdout %q, stderr %q; want status 255 and what both say", status, stdout, stderr)
	}
	l.wantRules()

	l.wantSSH(l.ssh("ssh", "gate", "echo hello"), 0, "hello\n")
	l.wantRules(laptopIP + " 22")
	l.wantClosed(strangerIP, 22)

	big := strings.Repeat("ten million bytes\n", 10_000_000/18)
	writeTemp(t, l.dir, "big", big, 0o600)
	l.wantSSH(l.ssh("ssh", "gate", "cat "+filepath.Join(l.dir, "big")), 0, big)
	l.wantSSH(l.ssh("ssh", "gate", "exit 7"), 7, "")
	echo := l.ssh("ssh", "gate", "cat")
	echo.Stdin = strings.NewReader(big)
	l.wantSSH(echo, 0, big)

	first := l.ssh("ssh", "gate", "cat; echo over")
	said := new(watched)
	first.Stdout = said
	keyboard, err := first.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(keyboard, "first\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first session", func() bool { return said.String() == "first\n" })
	l.wantSSH(l.ssh("ssh", "gate", "echo second"), 0, "second\n")
	keyboard.Close()
	if err := first.Wait(); err != nil || said.String() != "first\nover\n" {
		t.Errorf("the first session: %v, %q", err, said)
	}

	l.wantSSH(l.ssh("scp", "-q", filepath.Join(l.dir, "big"), "gate:"+filepath.Join(l.dir, "copy")), 0, "")
	if copied, err := os.ReadFile(filepath.Join(l.dir, "copy")); err != nil || !bytes.Equal(copied, []byte(big)) {
		t.Errorf("scp: %v, %d bytes are not what was copied", err, len(copied))
	}
	d.stop()
}

// A command that is run behind the knock is in the client's place: its output, input
// and exit status are the client's.
func TestExec(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{})
	l.startSSHD()
	d := l.daemon()
	remote := l.ssh("knockclient", "-port", "22", "-exec", `ssh -F "$CONFIG" direct 'cat; exit 5'`, gateIP)
	remote.Stdin = strings.NewReader("from here\n")
	l.wantSSH(remote, 5, "from here\n")
	show := l.ssh("knockclient", "-port", "22,80", "-exec", `echo "$KNOCK_HOST $KNOCK_ADDRESS $KNOCK_PORT ${KNOCK_KEY-none} $PPID"; ls -l /proc/self/fd | grep -c socket:`, gateIP)
	show.Env = append(show.Env, "KNOCK_KEY="+l.key)
	l.wantSSH(show, 1, fmt.Sprintf("192.0.2.1 192.0.2.1 22 none %d\n0\n", os.Getpid()))
	d.stop()

	stdout, stderr, status := l.run(l.ssh("knockclient", "-port", "22", "-retries", "0", "-exec", "echo never", gateIP))
	if status != 3 || stdout != "" || !strings.HasPrefix(stderr, "knockclient: error: 192.0.2.1: port 22 is not open after 1 knock, ") {
		t.Errorf("with no daemon: status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
}
