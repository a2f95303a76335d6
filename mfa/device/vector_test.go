package device

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// The key of the vectors in docs/device-protocol.md: PKCS #8.
const vectorKey = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgFm0Jzzjezxj2twU6V1VPH-de1uZUfyEpuUYoMB3uZvyhRANCAAT4RLQRIN4oYFUFFzQq_zT4W-bPu-GpZvBpM7VQ-AvKF0uf1TCopc37QrQwGIUAwjQV_xpu2tluNuB2MIa2Hzg7"

func vectorSigner(t *testing.T) (*ecdsa.PrivateKey, string) {
	t.Helper()
	der, err := Decode(vectorKey)
	if err != nil {
		t.Fatal(err)
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	key := k.(*ecdsa.PrivateKey)
	pkix, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key, Encode(pkix)
}

// TestDocumentedVectors computes the vectors of the documentation and looks for
// each in it.
func TestDocumentedVectors(t *testing.T) {
	text, err := os.ReadFile("../../docs/device-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	key, pub := vectorSigner(t)

	enroll := EnrollRequest{Version: 2, Token: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", Name: "Anna's phone", Key: pub}
	request := RequestAuth{Version: 2, Device: "q3vnsy2kd7x4mfah", Time: 1795348800, Nonce: "AAECAwQFBgcICQoLDA0ODw"}
	decision := Decision{Version: 3, Device: "q3vnsy2kd7x4mfah", Prompt: "7f3c9a", Action: ActionApprove, Number: "42", Surface: SurfaceApp}
	old := Decision{Version: 2, Device: "q3vnsy2kd7x4mfah", Prompt: "7f3c9a", Action: ActionApprove, Number: "42"}
	want := map[string]string{"public key": pub, "private key": vectorKey}
	for name, input := range map[string][]byte{
		"enroll":   enroll.input(),
		"request":  request.input("GET", "/api/v1/prompts", nil),
		"decision": decision.input("EXAMPLE\\anna"), "decision of version 2": old.input("EXAMPLE\\anna"),
	} {
		sig, err := Sign(key, input)
		if err != nil {
			t.Fatal(err)
		}
		der, _ := Decode(pub)
		if err := verify(der, input, sig); err != nil {
			t.Errorf("%s: got error %v; want none", name, err)
		}
		want[name+" input"] = hex.EncodeToString(input)
		want[name+" signature"] = Encode(sig)
		if name == "request" {
			request.Signature = sig
			want["header"] = "Authorization: " + request.String()
		}
	}
	for name, value := range want {
		if !strings.Contains(strings.Join(strings.Fields(doc), ""), strings.Join(strings.Fields(value), "")) {
			t.Errorf("docs/device-protocol.md lacks the %s:\n%s", name, value)
		}
	}
	for _, code := range []string{"sync", "prompt", "withdrawn", WithdrawnDecided, WithdrawnEnded, string(OutcomeApproved),
		string(OutcomeDenied), string(OutcomeReported), string(OutcomeWrongNumber),
		string(SurfaceApp), string(SurfaceNotification), string(SurfaceWearable)} {
		if !strings.Contains(doc, "`"+code+"`") {
			t.Errorf("docs/device-protocol.md does not explain %q", code)
		}
	}
}
