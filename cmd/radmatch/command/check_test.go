package command

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
)

// TestCheckSeesWhatServeRefuses: whatever keeps serve from serving keeps check from
// saying that it can be served.
func TestCheckSeesWhatServeRefuses(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	const listen = `listen: {radius: ["127.0.0.1:0"], web: "127.0.0.1:0"}` + "\n"
	const primary = "primaries: [{name: local, type: file, path: users.yaml}]\n"
	tests := []struct {
		name, config string
		connect      bool // only check --connect can see it
		want         string
	}{
		{"users file missing", listen + "primaries: [{name: local, type: file, path: nosuch.yaml}]\n", false, "nosuch.yaml"},
		{"users file broken", listen + "primaries: [{name: local, type: file, path: broken.yaml}]\n", false, "broken.yaml:1"},
		{"directory's CA missing", listen + "primaries: [{name: ad, type: ldap, urls: ['ldaps://127.0.0.1'], base_dn: 'dc=example', ca_file: nosuch.pem}]\n", false, "nosuch.pem"},
		{"push secret missing", listen + primary + "push: [{name: chat, type: webhook, url: 'http://127.0.0.1:9/', secret_file: nosuch.key}]\n", false, "nosuch.key"},
		{"upstream secret missing", listen + "primaries: [{name: nps, type: radius, servers: [{address: '127.0.0.1:9', secret_file: nosuch.key}]}]\n", false, "nosuch.key"},
		{"push CA missing", listen + primary + "web: {push_services: ['127.0.0.1:9'], push_ca_file: nosuch.pem}\n", false, "nosuch.pem"},
		{"geoip missing", listen + primary + "web: {geoip_database: nosuch.mmdb}\n", false, "nosuch.mmdb"},
		{"certificate missing", listen + primary + "web: {tls: {cert_file: nosuch.pem, key_file: nosuch.key}}\n", false, "nosuch"},
		{"dictionaries missing", listen + primary + "dictionaries: nosuch\n", false, "nosuch"},
		{"data_dir is a file", listen + primary + "data_dir: users.yaml\n", false, "data_dir"},
		{"data_dir in a file", listen + primary + "data_dir: users.yaml/data\n", false, "data_dir"},
		{"data_dir where none can be made", listen + primary + "data_dir: /proc/radmatch/data\n", true, "data_dir"},
		{"RADIUS port in use", fmt.Sprintf("listen: {radius: [%q], web: '127.0.0.1:0'}\n", udp.LocalAddr()) + primary, true, "listen.radius[0]: cannot be listened on"},
		{"accounting port in use", fmt.Sprintf("listen: {radius: ['127.0.0.1:0'], accounting: [%q], web: '127.0.0.1:0'}\n", udp.LocalAddr()) + primary, true, "listen.accounting[0]"},
		{"web port in use", fmt.Sprintf("listen: {radius: ['127.0.0.1:0'], web: %q}\n", tcp.Addr()) + primary, true, "listen.web"},
		{"no database", listen + primary + "data_dir: broken\n", false, "not a database"},
		{"no such address", "listen: {radius: ['192.0.2.1:1812'], web: '127.0.0.1:0'}\n" + primary, true, "no interface of this machine"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, "users.yaml"), goodUsers)
			writeFile(t, filepath.Join(dir, "broken.yaml"), "user: []\n")
			if err := os.Mkdir(filepath.Join(dir, "broken"), 0o700); err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(dir, "broken", "radmatch.db"), strings.Repeat("no database\n", 400))
			file := writeFile(t, filepath.Join(dir, "radmatch.yaml"), tt.config+"clients: [{name: vpn, addresses: [127.0.0.1], secret: testing-secret-of-32-octets-4711}]\n")
			if code, _, stderr := command(t, "serve", "-c", file); code == console.ExitOK {
				t.Fatalf("serve has served: got %s; want an error", stderr)
			}
			if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
				t.Fatal(err)
			}
			args := []string{"check", "-c", file}
			if tt.connect {
				args = append(args, "--connect")
			}
			if code, out, _ := command(t, args...); code != console.ExitConfig || !strings.Contains(out, tt.want) || strings.Contains(out, "can be served") {
				t.Errorf("check: exit %d, want %q in\n%s", code, tt.want, out)
			}
		})
	}
}
