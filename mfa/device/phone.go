package device

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/radmatch/radmatch/mfa/text"
)

// Phone is a device: the client of the protocol that `radmatch phone` is. Its
// fields are fixed once it is used; its methods may be called concurrently.
type Phone struct {
	Server  string // public URL
	Device  string // id
	User    string
	Name    string
	Version int // the latest that the device speaks; where the server speaks only an older one, so does the device
	Key     *ecdsa.PrivateKey
	Client  *http.Client // nil: one that follows no redirect, without proxy authentication or cookies

	ahead  atomic.Int64 // nanoseconds that the server's clock is ahead, once it has said so
	agreed atomic.Int32 // version in place of Version, once the server has said so
}

// PhoneError is an error that the server told.
type PhoneError struct {
	Status     int
	Code       string
	Message    string
	MinVersion int // with version_unsupported: what the server speaks; 0: it did not say
	MaxVersion int
	time       *time.Time
}

func (e *PhoneError) Error() string {
	return fmt.Sprintf("server: %s (%s)", text.Printable(e.Message, 200), text.Printable(e.Code, 40))
}

// Final reports whether trying again cannot help.
func (e *PhoneError) Final() bool {
	switch e.Code {
	case "device_unknown", versionUnsupported, "bad_signature", "bad_request", "not_found":
		return true
	}
	return false
}

// versionUnsupported is the code of an error that tells what the server speaks.
const versionUnsupported = "version_unsupported"

const (
	callTimeout = 15 * time.Second
	maxAnswer   = 1 << 20
)

// Enroll enrols a new device, which speaks version, by an invitation link.
func Enroll(ctx context.Context, link, name string, version int, client *http.Client) (*Phone, error) {
	server, token, err := ParseInvitationLink(link)
	if err != nil {
		return nil, err
	}
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	pkix, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	p := &Phone{Server: server, Name: name, Version: version, Key: key, Client: client}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var resp EnrollResponse
	err = p.agree(func(version int) error {
		req := EnrollRequest{Version: version, Token: token, Name: name, Key: Encode(pkix)}
		sig, err := Sign(key, req.input())
		if err != nil {
			return err
		}
		req.Signature = Encode(sig)
		body, err := json.Marshal(req)
		if err != nil {
			return err
		}
		return p.exchange(ctx, "POST", "/api/v1/enroll", "", body, &resp)
	})
	if err != nil {
		return nil, err
	}
	p.Device, p.User = resp.Device, resp.User
	if CheckName(resp.Name) == nil {
		p.Name = resp.Name // the user has another device of the name that was asked for
	}
	if p.Device == "" || len(p.Device) > MaxID || strings.Trim(p.Device, idAlphabet) != "" || p.User == "" {
		return nil, errors.New("server: its answer to the enrolment is not one of this protocol")
	}
	return p, nil
}

// Prompts asks once what waits.
func (p *Phone) Prompts(ctx context.Context) (*PromptList, error) {
	var l PromptList
	if err := p.call(ctx, "GET", "/api/v1/prompts", noBody, &l); err != nil {
		return nil, err
	}
	return &l, nil
}

// Decide sends the user's decision on a prompt, as one that was made in the
// app. It is sent again where no answer came: it counts once.
func (p *Phone) Decide(ctx context.Context, v PromptView, action Action, number string) (DecisionResponse, error) {
	body := func(version int) ([]byte, error) {
		d := Decision{Version: version, Device: p.Device, Prompt: v.ID, Action: action, Number: number}
		if version >= VersionCode {
			d.Surface = SurfaceApp
		}
		if err := d.Sign(p.Key, v.User); err != nil {
			return nil, err
		}
		return json.Marshal(DecisionRequest{Decision: action, Number: number, Surface: d.Surface, Signature: Encode(d.Signature)})
	}
	const tries = 3
	for try := 1; ; try++ {
		var resp DecisionResponse
		err := p.call(ctx, "POST", "/api/v1/prompts/"+url.PathEscape(v.ID)+"/decision", body, &resp)
		var told *PhoneError
		if err == nil || errors.As(err, &told) || try == tries {
			return resp, err
		}
		if err := sleep(ctx, time.Duration(try)*time.Second); err != nil {
			return DecisionResponse{}, err
		}
	}
}

// noBody is the body of a GET in each version.
func noBody(int) ([]byte, error) { return nil, nil }

// call makes one signed request, and another one where the server's clock or
// version is not this device's. body is asked for the body in a version.
func (p *Phone) call(ctx context.Context, method, target string, body func(version int) ([]byte, error), out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return p.agree(func(version int) error {
		b, err := body(version)
		if err != nil {
			return err
		}
		return p.signed(version, method, target, b, func(auth string) error {
			return p.exchange(ctx, method, target, auth, b, out)
		})
	})
}

// agree calls f with the version to speak, and again with the latest that both
// speak where the server says that it does not speak this one.
func (p *Phone) agree(f func(version int) error) error {
	version := p.Version
	if v := p.agreed.Load(); v != 0 {
		version = int(v)
	}
	err := f(version)
	told := (*PhoneError)(nil)
	if !errors.As(err, &told) || told.Code != versionUnsupported {
		return err
	}
	both := min(p.Version, told.MaxVersion)
	if both < max(MinVersion, told.MinVersion) || both == version {
		return err
	}
	p.agreed.Store(int32(both))
	return f(both)
}

// signed calls f with the Authorization header of a request, and again with the
// server's time where this device's clock is wrong.
func (p *Phone) signed(version int, method, target string, body []byte, f func(auth string) error) error {
	for try := 1; ; try++ {
		auth, err := SignRequest(p.Key, version, p.Device, time.Now().Add(time.Duration(p.ahead.Load())), method, target, body)
		if err != nil {
			return err
		}
		err = f(auth)
		var told *PhoneError
		if try == 1 && errors.As(err, &told) && told.Code == "clock_skew" && told.time != nil {
			p.ahead.Store(int64(time.Until(*told.time)))
			continue
		}
		return err
	}
}

// exchange makes one request and reads its answer.
func (p *Phone) exchange(ctx context.Context, method, target, auth string, body []byte, out any) error {
	resp, err := p.send(ctx, method, target, auth, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("server: its answer is not JSON: %w", err)
	}
	return nil
}

// send returns an answer that is 2xx; the caller closes its body.
func (p *Phone) send(ctx context.Context, method, target, auth string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(p.Server, "/")+target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	client := p.Client
	if client == nil {
		client = phoneClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, readError(resp)
}

// phoneClient follows no redirect: the signature covers the path, and an
// invitation is for nobody else.
var phoneClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func readError(resp *http.Response) error {
	var b ErrorBody
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return err
	}
	if json.Unmarshal(answer, &b) != nil || b.Code == "" {
		// Not ours: a proxy's.
		return fmt.Errorf("server: answered %s", text.Printable(resp.Status, 64))
	}
	return &PhoneError{Status: resp.StatusCode, Code: b.Code, Message: b.Message, MinVersion: b.MinVersion, MaxVersion: b.MaxVersion, time: b.Time}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
