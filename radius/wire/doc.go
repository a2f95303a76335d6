// Package wire is RADIUS as octets: packets and their attributes, dictionaries, shared
// secrets and what is made with them. It knows neither sockets nor policy.
//
// [Request.Scan] reads a request in place and [Writer] appends a packet into a buffer
// of its caller, so that neither allocates. [Query] and [Answer] are the other side's
// view of the same. A [Dictionary] turns names and values of files into attributes
// and back.
//
// Nothing here has a goroutine. Everything but a Writer may be used concurrently; a
// [Secret] keeps its keyed hashes in a pool.
//
// RFC 2865 (packets), 2869 §5.14 and 3579 §3.2 (Message-Authenticator), 2868 and
// 2548 (tunnels, Microsoft), 2759 and 3079 (MS-CHAPv2, MPPE), 2866 §3 (the
// authenticator of accounting).
package wire
