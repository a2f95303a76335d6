package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/text"
)

// PasskeyStore keeps passkeys with their devices. It may be called concurrently.
type PasskeyStore interface {
	// AddPasskey gives a device its one passkey; device.ErrPasskeyExists if it has
	// one, or another device has this one.
	AddPasskey(ctx context.Context, device device.Device, p device.Passkey) error
	// UsePasskey stores the device's passkey as it is after a signature.
	// device.ErrBadPasskey if its count was used before.
	UsePasskey(ctx context.Context, device string, p device.Passkey) error
}

// Passkeys is the relying party of WebAuthn (Level 3). Set its fields before the first
// request; then it may be used concurrently.
type Passkeys struct {
	Store PasskeyStore
	// Offers keeps the challenges of registrations, by device; NewPasskeys gives it what is
	// for the only server of a site. Each is taken once.
	Offers Offers
	// Registers is whether devices may register passkeys. Those that have one need
	// it all the same.
	Registers bool

	party *webauthn.WebAuthn
}

var _ device.PasskeyVerifier = (*Passkeys)(nil)

// offerTime is for the user, to register a passkey.
const offerTime = 5 * time.Minute

// NewPasskeys returns the relying party with this id, a host name, whose page
// has this origin.
func NewPasskeys(id, origin string, st PasskeyStore) (*Passkeys, error) {
	limit := webauthn.TimeoutConfig{Enforce: true, Timeout: offerTime, TimeoutUVD: offerTime}
	config := &webauthn.Config{
		RPID: id, RPDisplayName: "radmatch", RPOrigins: []string{origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			UserVerification: protocol.VerificationRequired,
			ResidentKey:      protocol.ResidentKeyRequirementDiscouraged,
		},
		Timeouts: webauthn.TimeoutsConfig{Registration: limit, Login: limit},
	}
	if err := protocol.ValidateRPID(id); err != nil {
		return nil, fmt.Errorf("passkeys: %q is no name for a relying party: %w", id, err)
	}
	party, err := webauthn.New(config)
	if err != nil {
		return nil, fmt.Errorf("passkeys: %w", err)
	}
	return &Passkeys{Store: st, Offers: newMemoryOffers(), party: party}, nil
}

// registers reports whether devices may register passkeys; for nil none may.
func (p *Passkeys) registers() bool { return p != nil && p.Registers }

// algorithms are what authenticators sign with, in the order of preference: that
// of phones and keys, Ed25519, and that of older TPMs in Windows.
var algorithms = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
}

// account is a device as WebAuthn's user: a passkey belongs to one device.
type account struct{ device.Device }

func (a account) WebAuthnID() []byte          { return []byte(a.ID) }
func (a account) WebAuthnName() string        { return text.Printable(a.User.String(), maxShown) }
func (a account) WebAuthnDisplayName() string { return text.Printable(a.User.String(), maxShown) }
func (a account) WebAuthnCredentials() []webauthn.Credential {
	if a.Passkey == nil {
		return nil
	}
	return []webauthn.Credential{{
		ID: a.Passkey.ID, PublicKey: a.Passkey.Key,
		Flags:         webauthn.CredentialFlags{BackupEligible: a.Passkey.BackupEligible, BackupState: a.Passkey.BackedUp},
		Authenticator: webauthn.Authenticator{SignCount: a.Passkey.Count},
	}}
}

// maxShown is how many characters of a name an authenticator shows at most.
const maxShown = 64

// offer begins the registration of a passkey. A later one takes its place.
func (p *Passkeys) offer(ctx context.Context, d device.Device) (*protocol.CredentialCreation, error) {
	if d.Passkey != nil {
		return nil, device.ErrPasskeyExists
	}
	creation, session, err := p.party.BeginRegistration(account{d}, webauthn.WithCredentialParameters(algorithms))
	if err != nil {
		return nil, fmt.Errorf("passkeys: %w", err)
	}
	data, err := json.Marshal(session)
	if err != nil {
		return nil, fmt.Errorf("passkeys: %w", err)
	}
	kept, err := p.Offers.KeepOffer(ctx, offerKey(d), data, offerTime)
	if err != nil {
		return nil, fmt.Errorf("%w: a registration that began: %w", errNotKept, err)
	}
	if !kept {
		return nil, errBusy
	}
	return creation, nil
}

// take returns what was offered to a device, once.
func (p *Passkeys) take(ctx context.Context, d device.Device) (session webauthn.SessionData, err error) {
	data, err := p.Offers.TakeOffer(ctx, offerKey(d))
	if err != nil {
		return session, fmt.Errorf("%w: the registration that this completes: %w", errNotKept, err)
	}
	if data == nil {
		return session, fmt.Errorf("%w: nothing was offered to this device in the last %s, or it took another", device.ErrBadPasskey, offerTime)
	}
	if err := json.Unmarshal(data, &session); err != nil {
		return webauthn.SessionData{}, fmt.Errorf("passkeys: what was offered: %w", err)
	}
	return session, nil
}

// offerKey is under which a device's registration is kept.
func offerKey(d device.Device) string { return "passkey " + d.ID }

// register adds the passkey that body, WebAuthn's RegistrationResponseJSON, brings.
func (p *Passkeys) register(ctx context.Context, d device.Device, body []byte) (device.Passkey, error) {
	session, err := p.take(ctx, d)
	if err != nil {
		return device.Passkey{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(body)
	if err != nil {
		return device.Passkey{}, bad(err)
	}
	// The maker of an authenticator is not checked, and what the certificates of a
	// statement name must not be fetched: without them (§5.1.3, step 24, "none").
	object := parsed.Response.AttestationObject
	if _, certified := object.AttStatement["x5c"]; certified || object.Format != "none" && object.Format != "packed" {
		return device.Passkey{}, fmt.Errorf("%w: it comes with an attestation that was not asked for", device.ErrBadPasskey)
	}
	c, err := p.party.CreateCredential(account{d}, session, parsed)
	if err != nil {
		return device.Passkey{}, bad(err)
	}
	made := device.Passkey{
		ID: c.ID, Key: c.PublicKey, Count: c.Authenticator.SignCount,
		BackupEligible: c.Flags.BackupEligible, BackedUp: c.Flags.BackupState,
	}
	return made, p.Store.AddPasskey(ctx, d, made)
}

// VerifyPasskey implements device.PasskeyVerifier.
func (p *Passkeys) VerifyPasskey(ctx context.Context, d device.Device, challenge, assertion []byte) error {
	if d.Passkey == nil {
		return device.ErrPasskeyRequired
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(assertion)
	if err != nil {
		return bad(err)
	}
	session := webauthn.SessionData{
		Challenge: device.Encode(challenge), RelyingPartyID: p.party.Config.RPID, UserID: []byte(d.ID),
		AllowedCredentialIDs: [][]byte{d.Passkey.ID}, UserVerification: protocol.VerificationRequired,
	}
	c, err := p.party.ValidateLogin(account{d}, session, parsed)
	if err != nil {
		return bad(err)
	}
	flags := parsed.Response.AuthenticatorData.Flags
	if !flags.HasUserVerified() || !bytes.Equal(c.ID, d.Passkey.ID) { // it has looked; the check that decides looks again
		return device.ErrBadPasskey
	}
	used := *d.Passkey
	used.Count, used.BackedUp = parsed.Response.AuthenticatorData.Counter, flags.HasBackupState()
	return p.Store.UsePasskey(ctx, d.ID, used)
}

// bad is what the library says, only for the log: of an error of its own the
// details too.
func bad(err error) error {
	var e *protocol.Error
	if errors.As(err, &e) {
		return fmt.Errorf("%w: %s", device.ErrBadPasskey, text.Printable(e.Details+" "+e.DevInfo, 256))
	}
	return fmt.Errorf("%w: %s", device.ErrBadPasskey, text.Printable(err.Error(), 256))
}

var errNoPasskeys = errors.New("no passkeys here")

// passkeyOptions offers the registration of a passkey to a device.
func (s *Server) passkeyOptions(w http.ResponseWriter, r *http.Request, c caller) {
	if !s.Passkeys.registers() {
		refuse(w, errNoPasskeys)
		return
	}
	creation, err := s.Passkeys.offer(r.Context(), c.Device)
	if err != nil {
		s.Logger.Info("web: no passkey offered", zap.String("device", c.ID), zap.Error(err))
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, creation)
}

// addPasskey registers the passkey that a device was offered.
func (s *Server) addPasskey(w http.ResponseWriter, r *http.Request, c caller) {
	if !s.Passkeys.registers() {
		refuse(w, errNoPasskeys)
		return
	}
	log := s.Logger.With(zap.String("user", c.User.String()), zap.String("device", c.ID), zap.String("from", r.RemoteAddr))
	p, err := s.Passkeys.register(r.Context(), c.Device, c.body)
	if err != nil {
		log.Warn("web: passkey refused", zap.Error(err))
		refuse(w, err)
		return
	}
	log.Info("web: passkey registered")
	s.streams.end(c.ID) // it begins anew with what the device may do now
	answer(w, http.StatusCreated, struct {
		Passkey string `json:"passkey"`
	}{device.Encode(p.ID)})
}
