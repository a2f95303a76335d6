// Package winbind asks Active Directory whether an MS-CHAPv2 response (RFC 2759) is
// right, through Samba's winbind. A [Checker] keeps a bounded number of ntlm_auth
// programs running, with a goroutine that waits for the end of each, and one for
// each question that is out. What it remembers, questions that are out and those
// that were refused, is only in memory. Its mutexes guard that and the list of
// idle programs, and are not held over a question.
package winbind
