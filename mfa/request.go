package mfa

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// Request is one Access-Request that has passed intake. It is not changed after
// it was handed over, except by Supersede.
type Request struct {
	Received time.Time
	Client   *Client
	Source   string // address and port it came from
	// ID and Authenticator are the packet's (RFC 2865 §3). The zero Authenticator: not known.
	ID            byte
	Authenticator [16]byte
	Signed        bool // carried a valid Message-Authenticator
	User          Name // User-Name
	Cred          Credential
	Dialog        Dialog // by its client's profile and the protocol of Cred
	State         string // of the challenge that this answers, or empty
	EndUser       string // the profile's end-user field as sent, empty if absent
	// Address is the end user's, from the profile's address attribute of a signed
	// request. It is invalid where that is missing, cannot be read or is unsigned.
	Address netip.Addr
	// GivesUp is when the NAS stops waiting for an answer to this packet, by the
	// client's NAS timeout. The zero time: not known.
	GivesUp time.Time
	NAS     string // NAS-Identifier or NAS-IP-Address as sent, for the log
	Answer  Fitter // nil: every answer fits
	// Carrier is opaque for everyone between the transport and a primary that is a
	// Forwarder: what the transport hands to it of this login. Nil: nothing.
	Carrier any

	superseded atomic.Bool
}

// Dialog is what the screen in front of the user can do. The zero value shows nothing
// and takes nothing.
type Dialog struct {
	Codes  bool // it asks for a text, and the answer comes back to us
	Number bool // and it shows a text of ours, in which there may be a number
}

// UnsupportedText names the kind of credential that was refused as such, for the trail.
func (r *Request) UnsupportedText(reason Reason) string {
	if reason != ReasonUnsupported {
		return ""
	}
	switch c := r.Cred.(type) {
	case Unsupported:
		return ErrUnsupported.Error() + ": " + c.What
	case MSCHAPv2:
		return ErrUnsupported.Error() + ": MS-CHAPv2"
	}
	return ""
}

// Fitter measures the Access-Accept to a request before it is promised: an answer
// that cannot be sent is a rejection, and the trail must not say otherwise.
type Fitter interface {
	// Fits returns what keeps the identity's attributes and keys from being sent.
	Fits(identity *Identity) error
}

// Fits is Fits, for a request that has a Fitter.
func (r *Request) Fits(identity *Identity) error {
	if r.Answer == nil {
		return nil
	}
	return r.Answer.Fits(identity)
}

// Claimed reports whether EndUser is only what the user's machine says of
// itself, and not the address that the client vouches for.
func (r *Request) Claimed() bool {
	if r.EndUser == "" {
		return false
	}
	addr, err := netip.ParseAddr(r.EndUser)
	return err != nil || addr.Unmap() != r.Address
}

// Supersede marks that the NAS gave this packet up: no answer to it can arrive.
// It may be called from any goroutine.
func (r *Request) Supersede() { r.superseded.Store(true) }

// Superseded reports whether the NAS gave this packet up.
func (r *Request) Superseded() bool { return r.superseded.Load() }

// Origin is where a login comes from: whose it is, at which client, from which place.
// All texts come from the network: cut and escape them wherever a user sees them.
type Origin struct {
	Client  string `json:"client,omitempty"`
	Group   string `json:"group,omitempty"`    // the client's
	User    Name   `json:"user,omitzero"`      // canonical, or as sent where the primary said no
	EndUser string `json:"end_user,omitempty"` // as Request.EndUser
	Claimed bool   `json:"claimed,omitempty"`  // EndUser is only what the user's machine calls itself
	Source  string `json:"source,omitempty"`   // address and port that the packet came from
}

// Origin returns where the request comes from, for the user that it proved to be.
func (r *Request) Origin(user Name) Origin {
	return Origin{Client: r.Client.Name, Group: r.Client.Group, User: user, EndUser: r.EndUser, Claimed: r.Claimed(), Source: r.Source}
}

// ForPrompt returns what devices are shown of the request.
func (r *Request) ForPrompt() PromptRequest {
	return PromptRequest{Time: r.Received, Client: r.Client.Name, EndUser: r.EndUser, Claimed: r.Claimed(), Source: r.Source, Address: r.Address}
}
