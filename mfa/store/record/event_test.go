package record

import (
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

func FuzzDecodeEvent(f *testing.F) {
	ev := mfa.Event{ID: "k7f", Time: time.Now(), Kind: mfa.EventLogin, Plan: mfa.PlanOTP, Outcome: mfa.Accept, Method: "totp", Total: time.Second}
	ev.Text, ev.Requests = "text", []mfa.PromptRequest{{Client: "vpn"}}
	ev.Prompt, ev.Answer = &mfa.OpenPrompt{ID: "k7f"}, []byte{1}
	data, err := encode(&ev)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add([]byte{eventFormat, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		var ev, again mfa.Event
		if DecodeEvent(data, &ev) != nil {
			return
		}
		data, err := encode(&ev)
		if err != nil {
			t.Fatal(err)
		}
		if err := DecodeEvent(data, &again); err != nil {
			t.Fatal(err)
		}
	})
}

func encode(ev *mfa.Event) ([]byte, error) {
	p, err := promptAfter(ev)
	if err != nil {
		return nil, err
	}
	return encodeEvent(ev, p.Data)
}
