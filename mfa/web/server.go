package web

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/front"
	"github.com/radmatch/radmatch/mfa/push"
)

// Server answers devices. Set its fields before Handler is called, once; what
// it returns serves any number of requests at once.
type Server struct {
	Approver *push.Approver
	Store    device.Store
	Devices  DeviceKeeper
	History  History
	Passkeys *Passkeys   // nil: there are none; otherwise set also Approver.Passkeys
	Places   *Places     // nil: places have no names
	Logger   *zap.Logger // nil: none
	// Ready reports whether a login could be accepted now, for /readyz; nil: always.
	Ready func() error
	// PublicURL is where users reach this server, through a proxy perhaps.
	// Empty: as they name it.
	PublicURL string
	// TrustedProxies are whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// MaxStreams is how many event streams are open at once; 0: 20,000.
	MaxStreams int
	// MaxAddressStreams is the same for one address; 0: a quarter of them.
	MaxAddressStreams int
	// Started is when this server began. A request that was signed before may have been taken
	// by the one before it, which took its nonces along, and is refused; zero: nothing.
	Started time.Time
	// Heartbeat is the time between signs of life in a stream, and after which
	// the stream of a removed device ends at the latest; 0: 15 s.
	Heartbeat time.Duration

	streams  streams
	nonces   nonces
	guesses  guesses
	unsigned front.Rates  // of requests that no device has signed
	reading  atomic.Int32 // histories that are read
}

// The limits of what an unknown caller can send.
const (
	maxBody         = 8 << 10
	defaultStreams  = 20_000
	defaultInterval = 15 * time.Second
)

// Close ends all event streams and lets none begin. Register it with
// http.Server.RegisterOnShutdown, which does not end them itself.
func (s *Server) Close() { s.streams.close() }

// Handler returns the pages and the device protocol.
func (s *Server) Handler() http.Handler {
	if s.Logger == nil {
		s.Logger = zap.NewNop()
	}
	s.guesses, s.unsigned = newGuesses(), unknownRates()
	mux := http.NewServeMux()
	mux.Handle("/", s.Meter(s.open()))
	mux.HandleFunc("GET /api/v1/prompts", s.device(s.poll))
	mux.HandleFunc("GET /api/v1/events", s.device(s.events))
	mux.HandleFunc("HEAD /api/v1/events", notFound)
	mux.HandleFunc("POST /api/v1/prompts/{id}/decision", s.device(s.decide))
	mux.HandleFunc("POST /api/v1/passkey/options", s.device(s.passkeyOptions))
	mux.HandleFunc("POST /api/v1/passkey", s.device(s.addPasskey))
	mux.HandleFunc("GET /api/v1/history", s.device(s.history))
	mux.HandleFunc("GET /api/v1/devices", s.device(s.devices))
	mux.HandleFunc("POST /api/v1/devices/{id}/name", s.device(s.renameDevice))
	mux.HandleFunc("DELETE /api/v1/devices/{id}", s.device(s.removeDevice))
	mux.HandleFunc("GET /api/v1/push/key", s.webPush(s.pushKey))
	mux.HandleFunc("POST /api/v1/push/subscription", s.webPush(s.subscribe))
	mux.HandleFunc("DELETE /api/v1/push/subscription", s.webPush(s.unsubscribe))

	origins := http.NewCrossOriginProtection()
	if u, err := url.Parse(s.PublicURL); err == nil && u.Scheme != "" && u.Host != "" {
		// A proxy may give us another Host than the page has.
		if err := origins.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
			s.Logger.Warn("web: public_url is no origin", zap.Error(err))
		}
	}
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusForbidden, "cross_origin", "This request comes from another site's page.")
	}))
	return s.recover(front.Believe(s.TrustedProxies, s.headers(origins.Handler(mux))))
}

// open returns what is answered without a signature.
func (s *Server) open() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", health)
	mux.HandleFunc("GET /readyz", s.ready)
	page(mux)
	mux.HandleFunc("POST /api/v1/invitation", s.invitation)
	mux.HandleFunc("POST /api/v1/enroll", s.enroll)
	mux.HandleFunc("/api/", notFound)
	return mux
}

// contentPolicy lets the page use its own files and this server, and nothing
// else: no script or style in the markup, no other site, no frame around it
// (clickjacking), and no markup from a text (Trusted Types; "radmatch" is the
// page's policy for the address of its service worker).
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types radmatch"

// headers says on every answer what a browser may do with it.
func (s *Server) headers(next http.Handler) http.Handler {
	https := strings.HasPrefix(s.PublicURL, "https://")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		if https {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// recover turns a bug into one log line and no answer to this request.
func (s *Server) recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch v := recover(); v {
			case nil:
			case http.ErrAbortHandler:
				panic(v)
			default:
				s.Logger.Error("web: internal error", zap.Any("panic", v), zap.ByteString("stack", debug.Stack()))
				panic(http.ErrAbortHandler) // close the connection: half an answer may be out
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// Healthy is what /healthz answers.
const Healthy = "ok\n"

func notFound(w http.ResponseWriter, _ *http.Request) {
	fail(w, http.StatusNotFound, "not_found", "There is nothing here for this method and path.")
}

func health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(Healthy))
}

// ready says whether a balancer should send browsers and devices here. Why not is the
// operator's to know: it is in the log.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if s.Ready == nil || s.Ready() == nil {
		health(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte("not ready\n"))
}

// answer writes v, which marshals without an error.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // an error is the connection's
}

// fail writes an error. message is a fixed text: what an error says is for the log.
func fail(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, device.ErrorBody{Code: code, Message: message})
}
