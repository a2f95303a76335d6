package wire

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"layeh.com/radius/rfc2759"
	"layeh.com/radius/rfc3079"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/text"
)

// Lengths of MS-CHAP-Challenge and MS-CHAP2-Response (RFC 2548 §2.1.2, §2.3.2).
const (
	MSChallengeSize = 16
	MS2ResponseSize = 50
)

// ParseMSCHAPv2 reads the two attributes of an MS-CHAPv2 login; false if one
// has another length.
func ParseMSCHAPv2(challenge, response []byte) (mfa.MSCHAPv2, bool) {
	if len(challenge) != MSChallengeSize || len(response) != MS2ResponseSize {
		return mfa.MSCHAPv2{}, false
	}
	return mfa.MSCHAPv2{
		Ident:         response[0],
		AuthChallenge: [16]byte(challenge),
		PeerChallenge: [16]byte(response[2:18]), // response[1] is the flags, then 8 reserved octets
		NTResponse:    [24]byte(response[26:50]),
	}, true
}

// The constants of RFC 2759 §8.7.
const (
	serverSigning = "Magic server to client signing constant"
	iteration     = "Pad to make it do more than one iteration"
)

// authenticatorResponse is GenerateAuthenticatorResponse of RFC 2759 §8.7, from
// the hash: the password itself is not known here.
func authenticatorResponse(cred *mfa.MSCHAPv2, keys *mfa.MSCHAPKeys) string {
	h := sha1.New()
	h.Write(keys.NTHashHash[:])
	h.Write(cred.NTResponse[:])
	h.Write([]byte(serverSigning))
	digest := h.Sum(nil)
	h.Reset()
	h.Write(digest)
	h.Write(rfc2759.ChallengeHash(cred.PeerChallenge[:], cred.AuthChallenge[:], []byte(keys.Name)))
	h.Write([]byte(iteration))
	return "S=" + strings.ToUpper(hex.EncodeToString(h.Sum(nil)))
}

// MSCHAPAccept appends the server's proof and the MPPE keys (RFC 2548 §2.3.3,
// §2.4; RFC 3079 §3). Encryption of 40 or 128 bits is allowed, not required: what
// the NAS asks for is its own setting. What an upstream says of it is among its
// reply attributes.
func (w *Writer) MSCHAPAccept(cred mfa.MSCHAPv2, keys *mfa.MSCHAPKeys) {
	if keys.Success != "" {
		w.Vendor(VendorMicrosoft, MSCHAP2Success, append([]byte{cred.Ident}, keys.Success...))
		w.mppeKey(MSMPPESendKey, string(keys.SendKey))
		w.mppeKey(MSMPPERecvKey, string(keys.RecvKey))
		return
	}
	success := append([]byte{cred.Ident}, authenticatorResponse(&cred, keys)...)
	w.Vendor(VendorMicrosoft, MSCHAP2Success, success)
	master := rfc3079.GetMasterKey(keys.NTHashHash[:], cred.NTResponse[:])
	for _, k := range []struct {
		typ  byte
		send bool
	}{{MSMPPESendKey, true}, {MSMPPERecvKey, false}} {
		key, err := rfc3079.GetAsymmetricStartKey(master, rfc3079.KeyLength128Bit, k.send)
		if err != nil {
			w.Err = err
			return
		}
		w.mppeKey(k.typ, string(key))
	}
	w.Vendor(VendorMicrosoft, MSMPPEEncryptPolicy, []byte{0, 0, 0, 1})
	w.Vendor(VendorMicrosoft, MSMPPEEncryptTypes, []byte{0, 0, 0, 6})
}

func (w *Writer) mppeKey(typ byte, key string) {
	if key != "" {
		w.Add(mfa.Attribute{Vendor: VendorMicrosoft, Type: typ, Value: []byte(key)})
	}
}

// maxMSCHAPMessage bounds the text of an MS-CHAP-Error: some peers read 240 octets.
const maxMSCHAPMessage = 128

// MSCHAPError appends the failure packet of RFC 2759 §6. R=0: a retry on the same
// exchange would be a guess that the engine does not see as a new login.
func (w *Writer) MSCHAPError(ident byte, code int, message string) {
	var challenge [MSChallengeSize]byte
	rand.Read(challenge[:])
	if message == "" || len(message) > maxMSCHAPMessage {
		message = "Authentication failed"
	}
	text := fmt.Sprintf("E=%d R=0 C=%X V=3 M=%s", code, challenge, message)
	w.Vendor(VendorMicrosoft, MSCHAPError, append([]byte{ident}, text...))
}

// NewMSCHAPv2 is the response that a client makes from a password, with fresh
// challenges (RFC 2759 §8.1). The DOMAIN\ of a user is no part of it (§4).
func NewMSCHAPv2(user, password string) (mfa.MSCHAPv2, error) {
	var cred mfa.MSCHAPv2
	user = text.WithoutNTDomain(user)
	rand.Read(cred.AuthChallenge[:])
	rand.Read(cred.PeerChallenge[:])
	response, err := rfc2759.GenerateNTResponse(cred.AuthChallenge[:], cred.PeerChallenge[:], []byte(user), []byte(password))
	if err != nil {
		return mfa.MSCHAPv2{}, err
	}
	cred.NTResponse = [24]byte(response)
	return cred, nil
}

// ProvesMSCHAPv2 reports whether an Access-Accept proves that the server knows
// the password that cred was made from (RFC 2759 §5).
func (a Answer) ProvesMSCHAPv2(cred mfa.MSCHAPv2, user, password string) error {
	user = text.WithoutNTDomain(user)
	want, err := rfc2759.GenerateAuthenticatorResponse(cred.AuthChallenge[:], cred.PeerChallenge[:], cred.NTResponse[:], []byte(user), []byte(password))
	if err != nil {
		return err
	}
	got := Find(a.Packet, AttributeType{Vendor: VendorMicrosoft, Type: MSCHAP2Success})
	if len(got) != 1+len(want) || got[0] != cred.Ident || !hmac.Equal(got[1:], []byte(want)) {
		return errors.New("the server does not prove that it knows the password (MS-CHAP2-Success)")
	}
	return nil
}
