package e2e

import (
	"debug/elf"
	"encoding/base32"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestReadme runs the quick start of README.md as a newcomer does: in a fresh
// checkout, on the default ports. It has a network namespace of its own, where
// those are free.
func TestReadme(t *testing.T) {
	for _, program := range []string{"unshare", "ip", "radclient", "make", "git"} {
		needPeer(t, program)
	}
	checkout := copyTree(t)
	commands := quickStart(t)
	want := []string{"make run", "bin/radmatch login alice", "bin/radmatch device invite alice", "bin/radmatch phone enroll",
		"bin/radmatch phone watch", "bin/radmatch method default alice otp", "bin/radmatch login alice", "radclient", "radclient",
		"bin/radmatch hash", "bin/radmatch reload", "bin/radmatch totp add bob"}
	if len(commands) != len(want) {
		t.Fatalf("the quick start has %d commands, want %d: %q", len(commands), len(want), commands)
	}
	for i, w := range want {
		if !strings.Contains(commands[i], w) {
			t.Fatalf("command %d of the quick start is %q, want %q", i+1, commands[i], w)
		}
	}
	script := strings.NewReplacer(
		"@RUN@", commands[0], "@LOGIN@", commands[1], "@INVITE@", commands[2], "@ENROLL@", commands[3], "@WATCH@", commands[4],
		"@OTP@", commands[5], "@FIRST@", commands[7], "@SECOND@", commands[8],
		"@BOB@", commands[9], "@RELOAD@", commands[10], "@TOTP@", commands[11],
	).Replace(readmeScript)
	cmd := exec.CommandContext(t.Context(), "unshare", "-rn", "--fork", "--pid", "--mount-proc", "--kill-child", "bash", "-c", script)
	cmd.Dir = checkout
	cmd.Env = append(os.Environ(), "CODE="+os.Args[0]+" -test.run=^TestReadmeCode$")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s; want no error", err, out)
	}
	for _, want := range []string{
		"(?s)login: .*Access-Challenge.*Access-Accept",
		"(?s)radclient: .*Received Access-Accept",
		"(?s)push: .*Access-Accept",
		"(?s)bob: .*Access-Challenge.*Access-Accept",
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	needsNoLibrary(t, filepath.Join(checkout, "bin/radmatch"))
}

// needsNoLibrary: a program is static, and so runs on any Linux.
func needsNoLibrary(t *testing.T, program string) {
	t.Helper()
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	if err != nil || len(libraries) != 0 {
		t.Errorf("the program needs %v: got %v; want no error, none", libraries, err)
	}
	for _, part := range f.Progs {
		if part.Type == elf.PT_INTERP {
			t.Error("got a program that is linked dynamically; want a static one")
		}
	}
}

// readmeScript runs the commands of the quick start. Each code is used once:
// a server accepts the one before, the one of now and the one after.
const readmeScript = `
set -eu -o pipefail
ip link set lo up
@RUN@ >run.log 2>&1 &
for i in $(seq 600); do
	grep -q '"web"' run.log && break
	sleep 0.1
done
grep -q '"web"' run.log || { cat run.log; exit 1; }
password=$(sed -n 's/^Password: \([^ ]*\).*/\1/p' run.log)
secret=$(sed -n 's/.*[?&]secret=\([A-Z2-7]*\).*/\1/p' run.log | head -1)
link=$(grep -o "http://[^' ]*enroll#[A-Z2-7]*" run.log | head -1)
code() { SECRET=$secret STEPS=$1 $CODE | sed -n 's/^code //p'; }

enroll() { @ENROLL@; }
# The browser takes the first invitation, the terminal the next one.
HOME=$PWD/browser bin/radmatch phone enroll "$link" >browser.log
export HOME=$PWD
link=$(@INVITE@ | grep -o "http://[^' ]*enroll#[A-Z2-7]*" | head -1)
eval "$(declare -f enroll | sed "s|'http[^']*'|'$link'|")"; enroll
printf 'approve\n' | @WATCH@ --approve --once &
echo push: "$(printf '%s\n' "$password" | @LOGIN@)"

@OTP@
echo login: "$(printf '%s\n%s\n' "$password" "$(code -1)" | @LOGIN@)"

first() { @FIRST@; }
second() { @SECOND@; }
state=$(eval "$(declare -f first | sed "s/PASSWORD/$password/")"; first | sed -n 's/.*State = \(0x[0-9a-f]*\).*/\1/p' || true)
echo radclient: "$(eval "$(declare -f second | sed "s/CODE/$(code 0)/; s/STATE/$state/")"; second)"

bob() { @BOB@; }
printf 'a horse of bob\n' | bob
@RELOAD@
@TOTP@ >bob.log
secret=$(sed -n 's/.*[?&]secret=\([A-Z2-7]*\).*/\1/p' bob.log | head -1)
echo bob: "$(printf 'a horse of bob\n%s\n' "$(code 0)" | bin/radmatch login bob)"
`

// TestReadmeCode is no test of its own: it prints a code for the script.
func TestReadmeCode(t *testing.T) {
	secret := os.Getenv("SECRET")
	if secret == "" {
		t.Log("run by TestReadme")
		return
	}
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	step := time.Now().Unix() / 30
	switch os.Getenv("STEPS") {
	case "-1":
		step--
	}
	os.Stdout.WriteString("code " + passcode(key, step) + "\n")
}

// quickStart returns the commands of the quick start: what stands behind "$ "
// in its console blocks, with the lines that go on.
func quickStart(t *testing.T) []string {
	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## Quick start")
	section, _, _ = strings.Cut(section, "\n## ")
	var commands []string
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(section, -1) {
		goesOn := false
		for line := range strings.Lines(block[1]) {
			command, ok := strings.CutPrefix(line, "$ ")
			switch {
			case ok:
				commands = append(commands, command)
			case goesOn:
				commands[len(commands)-1] += line
			default:
				continue
			}
			goesOn = strings.HasSuffix(strings.TrimSpace(line), "|")
		}
	}
	for i := range commands {
		commands[i] = strings.TrimSpace(commands[i])
	}
	return commands
}

// copyTree copies what is under version control, as it is in the work tree.
func copyTree(t *testing.T) string {
	list := exec.Command("git", "ls-files", "-z")
	list.Dir = "../../.."
	files, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name := range strings.SplitSeq(strings.Trim(string(files), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join("../../..", name))
		if os.IsNotExist(err) {
			continue // deleted in the work tree
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
