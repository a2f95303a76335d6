package record

import (
	"encoding/json"

	"github.com/radmatch/radmatch/mfa"
)

// Prompt is an open prompt as JSON; without data it is removed.
type Prompt struct {
	ID   string
	Data []byte
}

// promptAfter is what ev makes of the prompt of its login: it opens it, or changes it, or is
// its end.
func promptAfter(ev *mfa.Event) (p Prompt, err error) {
	switch {
	case ev.Prompt != nil:
		p.ID = ev.Prompt.ID
		p.Data, err = EncodePrompt(ev.Prompt)
	case (ev.Kind == mfa.EventLogin || ev.Kind == mfa.EventUnclaimed) && ev.Plan.Prompts():
		p.ID = ev.ID
	}
	return p, err
}

// keptPrompt is a prompt on disk: its keys are the names of the fields, those of an
// Origin too.
type keptPrompt struct {
	mfa.OpenPrompt
	keptOrigin
}

// keptOrigin has the fields of mfa.Origin, or the conversion does not compile.
type keptOrigin struct {
	Client, Group string
	User          mfa.Name
	EndUser       string
	Claimed       bool
	Source        string
}

// EncodePrompt returns the data of a prompt.
func EncodePrompt(p *mfa.OpenPrompt) ([]byte, error) {
	kept := keptPrompt{*p, keptOrigin(p.Origin)}
	kept.Origin = mfa.Origin{}
	return json.Marshal(kept)
}

// DecodePrompt reads what EncodePrompt has written.
func DecodePrompt(data []byte) (mfa.OpenPrompt, error) {
	var kept keptPrompt
	err := json.Unmarshal(data, &kept)
	kept.Origin = mfa.Origin(kept.keptOrigin)
	return kept.OpenPrompt, err
}
