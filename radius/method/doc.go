// Package method is how a request proves its user: PAP, MS-CHAPv2, the request of an
// RD Gateway, which has checked the password itself, and EAP, which is refused so that
// the device hears of it. A file each goes from the attributes of a request to those of
// its answer; the engine in between sees only the mfa.Credential.
//
// Nothing here has a goroutine, a lock or a log.
//
// RFC 2865 §5.2, §5.44 (PAP), 2548 §2.3 and 2759 (MS-CHAPv2), 3579 §2.6 (EAP), [MS-RNAP]
// (RD Gateway).
package method
