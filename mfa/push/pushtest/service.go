package pushtest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Message is what a push service took and its subscriber decrypted.
type Message struct {
	Subscriber string // who subscribed
	Text       string // of webpush.Message, without its padding
	Size       int    // of the body on the way
	TTL        int
	Topic      string
	Contact    string // sub of the sender's token
	Sender     string // the key that signed it, which the subscription must be for
}

// Service is a push service (RFC 8030) on loopback, with TLS. It refuses what a
// real one may refuse, holds its subscribers' keys, and decrypts with them.
type Service struct {
	Messages chan Message // of every message that was right

	t    testing.TB
	http *httptest.Server

	mu          sync.Mutex
	subscribers map[string]*subscriber // by path
	answer      http.HandlerFunc       // in place of 201; nil: 201
	requests    int
}

type subscriber struct {
	name string
	key  *ecdh.PrivateKey
	auth []byte
}

// NewService starts one. It ends with the test.
func NewService(t testing.TB) *Service {
	s := &Service{t: t, Messages: make(chan Message, 100), subscribers: map[string]*subscriber{}}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.EnableHTTP2 = true
	s.http.StartTLS()
	t.Cleanup(func() {
		s.http.CloseClientConnections() // a request that hangs too
		s.http.Close()
	})
	return s
}

// Host is the service as web.push_services names it.
func (s *Service) Host() string { return s.http.Listener.Addr().String() }

// CA returns the certificate that signs for it, in PEM.
func (s *Service) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
}

// Answer has f answer every message from now on; nil: 201.
func (s *Service) Answer(f http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// Requests is how many there were.
func (s *Service) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Subscribe makes a subscription as a browser does, as the JSON of its toJSON().
func (s *Service) Subscribe(name string) []byte {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	auth := make([]byte, 16)
	rand.Read(auth)
	path := "/push/" + rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers[path] = &subscriber{name: name, key: key, auth: auth}
	return fmt.Appendf(nil, `{"endpoint":"https://%s%s","expirationTime":null,"keys":{"p256dh":"%s","auth":"%s"}}`,
		s.Host(), path, b64(key.PublicKey().Bytes()), b64(auth))
}

// Next returns the next message.
func (s *Service) Next() Message {
	s.t.Helper()
	select {
	case m := <-s.Messages:
		return m
	case <-time.After(30 * time.Second):
		s.t.Fatal("got no message in 30 s; want one")
		return Message{}
	}
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet { // a look whether it is there
		http.NotFound(w, r)
		return
	}
	s.mu.Lock()
	s.requests++
	sub, answer := s.subscribers[r.URL.Path], s.answer
	s.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	if sub == nil {
		w.WriteHeader(http.StatusGone)
		return
	}
	m, err := s.take(r, sub)
	if err != nil {
		s.t.Errorf("push service: got error %v; want none", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Location", "https://"+s.Host()+"/message/"+rand.Text())
	w.WriteHeader(http.StatusCreated)
	s.Messages <- m
}

// take checks a message as RFC 8030 §5, RFC 8292 §2 and RFC 8291 §3 have it.
func (s *Service) take(r *http.Request, sub *subscriber) (m Message, err error) {
	m = Message{Subscriber: sub.name, Topic: r.Header.Get("Topic")}
	if r.Method != http.MethodPost {
		return m, fmt.Errorf("method %s", r.Method)
	}
	if m.TTL, err = strconv.Atoi(r.Header.Get("TTL")); err != nil || m.TTL < 1 || m.TTL > 60 {
		return m, fmt.Errorf("TTL %q", r.Header.Get("TTL"))
	}
	if got := r.Header.Get("Urgency"); got != "high" {
		return m, fmt.Errorf("header Urgency is %q", got)
	}
	if len(m.Topic) > 32 || strings.Trim(m.Topic, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return m, fmt.Errorf("header Topic is %q", m.Topic)
	}
	if got := r.Header.Get("Content-Encoding"); got != "aes128gcm" {
		return m, fmt.Errorf("Content-Encoding %q", got)
	}
	if m.Contact, m.Sender, err = s.sender(r.Header.Get("Authorization")); err != nil {
		return m, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return m, err
	}
	m.Size = len(body)
	m.Text, err = open(body, sub.key, sub.auth)
	return m, err
}

// sender checks the token of RFC 8292 and returns its sub and the key that it is signed with.
func (s *Service) sender(header string) (contact, public string, err error) {
	token, public, ok := strings.Cut(strings.TrimPrefix(header, "vapid t="), ", k=")
	parts := strings.Split(token, ".")
	if !ok || !strings.HasPrefix(header, "vapid t=") || len(parts) != 3 {
		return "", "", errors.New("header Authorization is not of the scheme vapid")
	}
	point, err := base64.RawURLEncoding.DecodeString(public)
	if err != nil {
		return "", "", err
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return "", "", err
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(sig) != 64 {
		return "", "", errors.New("the signature is not one of ES256")
	}
	hash := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(key, hash[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return "", "", errors.New("the token's signature is wrong")
	}
	var head struct{ Typ, Alg string }
	var claims struct {
		Aud, Sub string
		Exp      int64
	}
	if err := errors.Join(decodeJSON(parts[0], &head), decodeJSON(parts[1], &claims)); err != nil {
		return "", "", err
	}
	left := time.Until(time.Unix(claims.Exp, 0))
	if head.Alg != "ES256" || head.Typ != "JWT" || claims.Aud != "https://"+s.Host() || left <= 0 || left > time.Hour {
		return "", "", fmt.Errorf("token %+v %+v", head, claims)
	}
	return claims.Sub, public, nil
}

func decodeJSON(part string, v any) error {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// open decrypts as a browser does (RFC 8188 §2, RFC 8291 §3).
func open(body []byte, key *ecdh.PrivateKey, auth []byte) (string, error) {
	const head = 16 + 4 + 1 + 65
	if len(body) < head || body[20] != 65 {
		return "", errors.New("no header of aes128gcm")
	}
	salt, public := body[:16], body[21:head]
	if size := binary.BigEndian.Uint32(body[16:]); uint32(len(body)-head) > size || size > 4096 {
		return "", fmt.Errorf("%d bytes in a record of %d", len(body)-head, size)
	}
	from, err := ecdh.P256().NewPublicKey(public)
	if err != nil {
		return "", err
	}
	shared, err := key.ECDH(from)
	if err != nil {
		return "", err
	}
	expand := func(secret, salt []byte, info string, n int) []byte {
		out, e := hkdf.Key(sha256.New, secret, salt, info, n)
		err = errors.Join(err, e)
		return out
	}
	ikm := expand(shared, auth, "WebPush: info\x00"+string(key.PublicKey().Bytes())+string(public), 32)
	cek := expand(ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	nonce := expand(ikm, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return "", err
	}
	block, err := aes.NewCipher(cek)
	if err != nil {
		return "", err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return "", err
	}
	plain, err := aead.Open(nil, nonce, body[head:], nil)
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(plain), "\x00")
	if !strings.HasSuffix(text, "\x02") {
		return "", errors.New("the last record does not end as it must")
	}
	return strings.TrimSuffix(text, "\x02"), nil
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
