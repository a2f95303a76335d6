package radius

import (
	"errors"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/radius/accounting"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/wire"
)

// message appends to w a text as Reply-Message, split between runes where it is longer
// than an attribute (RFC 2865 §5.18), and cut to what the client p shows and to
// room octets.
func message(w *wire.Writer, p *profile.Profile, shown string, room int) {
	for shown != "" {
		part := text.Cut(shown, min(wire.MaxValue, room-2))
		if part == "" {
			return
		}
		w.Text(wire.TypeReplyMessage, part)
		shown, room = shown[len(part):], room-2-len(part)
		if p.OneMessage {
			return
		}
	}
}

// room is where an answer is made. It is pooled with its Writer, which a method's
// call would otherwise allocate.
type room struct {
	w      wire.Writer
	octets [wire.MaxPacketSize]byte
}

func (s *Server) room() *room { return s.rooms.Get().(*room) }

// free takes the room back. It keeps nothing alive.
func (s *Server) free(o *room) {
	o.w = wire.Writer{}
	s.rooms.Put(o)
}

// begin begins an answer to the request.
func (x *exchange) begin(o *room, code wire.Code) *wire.Writer {
	o.w = wire.NewWriter(o.octets[:0], code, x.id, x.auth[:], x.secret)
	o.w.Most = x.client.Profile.LongestAnswer()
	return &o.w
}

// answer encodes the decision for x into o. An answer that cannot be encoded
// becomes an Access-Reject, never silence, and d is changed to say so.
func (x *exchange) answer(o *room, d *mfa.Decision) []byte {
	var w *wire.Writer
	switch d.Outcome {
	case mfa.Accept:
		w = x.begin(o, wire.AccessAccept)
		x.writeAccept(w, d)
	case mfa.Challenge:
		w = x.begin(o, wire.AccessChallenge)
		x.method.Challenge(w, x.req.Cred, *d)
	default:
		w = x.begin(o, wire.AccessReject)
		x.method.Reject(w, x.req.Cred, *d)
	}
	// Last, so that a text is cut rather than an attribute missed.
	if x.method.ShowsText() {
		message(w, x.client.Profile, d.Message, w.Most-len(w.B)-len(x.proxy))
	}
	w.B = append(w.B, x.proxy...)
	p, err := w.SealAnswer()
	if err == nil {
		return p
	}
	*d = mfa.Decision{LoginID: d.LoginID, Reason: mfa.ReasonInternalError, Err: errors.Join(d.Err, err)}
	w = x.begin(o, wire.AccessReject)
	w.Most = wire.MaxPacketSize
	x.method.Reject(w, x.req.Cred, *d)
	w.B = append(w.B, x.proxy...)
	if p, err = w.SealAnswer(); err != nil {
		return nil // cannot be: a signed request with this Proxy-State was not longer
	}
	return p
}

// Fits implements mfa.Fitter.
func (x *exchange) Fits(identity *mfa.Identity) error {
	o := x.server.room()
	defer x.server.free(o)
	w := x.begin(o, wire.AccessAccept)
	x.writeAccept(w, &mfa.Decision{Identity: identity})
	return w.Fits(len(x.proxy))
}

func (x *exchange) writeAccept(w *wire.Writer, d *mfa.Decision) {
	if d.Identity != nil {
		for _, a := range d.Identity.Attributes {
			w.Add(a)
		}
	}
	x.method.Accept(w, x.req.Cred, *d)
	if w.Err == nil {
		x.writeClass(w, d)
	}
}

// writeClass appends the Class that joins the session to its login, behind those
// of the user: devices that read a group out of Class take the first one. No login
// is rejected because it does not fit.
func (x *exchange) writeClass(w *wire.Writer, d *mfa.Decision) {
	a := x.server.Accounting
	if a == nil || d.LoginID == "" {
		return
	}
	class := accounting.ClassOf(a.ClassKey, x.client.Policy.Group, d.LoginID)
	if len(w.B)+2+len(class)+len(x.proxy) <= w.Most {
		w.Text(wire.TypeClass, class)
	}
}
