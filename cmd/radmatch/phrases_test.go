package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// phrase is a use of words that is wrong where another use of them is right.
type phrase struct {
	wrong  *regexp.Regexp
	except *regexp.Regexp // uses that are right all the same, taken out before; nil: none
	better string
	files  *regexp.Regexp // of paths; nil: all
	bad    []string
	good   []string
}

var re = regexp.MustCompile

var phrases = []phrase{
	{wrong: re(`(?i)\b(he|him|his|himself|she|her|hers|herself)\b`), better: "they, them, their, or the user",
		bad: []string{"He approves.", "the user in himself", "by each of her names"}, good: []string{"others", "the shell", "This is there."}},
	{wrong: re(`(?i)\bfor ever\b`), better: "without end, without limit",
		bad: []string{"kept for ever"}, good: []string{"for every user"}},
	{wrong: re(`(?i)\b(wait(s|ed)?|is|are|was|in|there|then|behind it) no more($|[.,;:)"]| in\b)`), better: "no longer, not any more",
		bad: []string{"when it waited no more", "let a user in no more, whatever"}, good: []string{"it may take no more than that", "no more logins may wait", "fills no more"}},
	{wrong: re(`(?i)\bbut for\b`), except: re(`(?i)\bnot (?:only )?for .{1,60}? but for\b`), better: "except, except for, without",
		bad: []string{"all but for the last"}, good: []string{"is not for %s but for %s"}},
	{wrong: re(`(?i)\belse\b`), except: re(`(?i)\b(some|any|every|no)(one|body|thing|where) else\b|\bno one else\b|\b(what(ever)?|wherever|who|or) else\b|\} else\b`), better: "otherwise, or",
		files: re(`\.go$|\.md$|\.txtar$|\.json$|Makefile`),
		bad:   []string{"the login is rejected, else it waits", "packets could else end logins", "all else waits"},
		good:  []string{"someone else's key", "nobody else", "whatever else a client has", "or else it ends"}},
	{wrong: re(`(?i)\balone\b`), except: re(`(?i)\b(left|leaves?|leaving) [^.;]{0,60}?\balone\b`), better: "only",
		bad: []string{"by the server alone", "An approval alone lets it in"}, good: []string{"is left alone", "leaves the dead one alone for a time"}},
	{wrong: re(`(?i)\b(lets?|lets? in|counts?|for|asks|knows|takes|keeps|stops|serves|notifies|matches|slows|accepts|against) nobody\b|\bnobody(?:'s)? (gets?|got|is|was|may|registers|enrols|vouches|knows|waits)\b`),
		except: re(`(?i:\bnobody else\b)|\bnoBody is\b`), better: "no user, no login, none; or the passive",
		bad: []string{"lets nobody in", "it counts for nobody", "nobody is asked", "Nobody gets in."}, good: []string{"a prompt that nobody approves", "nobody else is"}},
	{wrong: re(`(^|[.;:] |\*\*)Who (?:[a-z]+)\b[^?]*$`), except: re(`Who (is|are|asks,) [^.]*\.?|\[Who [^\]]*\]|"Who [^"]*"|\| Who [^|]*\|`), better: "a user who, anyone who, the users who",
		bad: []string{"Who has it can approve.", "It works once. Who has it is the user."}, good: []string{"Who may sign in?", "Anyone who has it"}},
	{wrong: re(`(?i)\bwhat joins\b|\bwho(m)? (is|are) due\b|\bwhat is due\b`), better: "a request that joins, a user who needs",
		bad: []string{"What joins a prompt waits.", "who is due a code"}, good: []string{"a number is due", "what the prompt joins"}},
	{wrong: re(`(^|[.;] )What (is|was|has|had|does|did|cannot|may|must|came|comes|joined|proves|waits|fails|lies|signs|stands|takes|follows|ends|needs|fits|began|goes|counts|opens|leaves|lets|reads|writes|holds|does not) [^?]*$`),
		except: re(`"What [^"]*"|What radmatch \*decides\*|(^|[.;] )What (is|was|holds) [^ ]+ ?$`), better: "a noun with a relative sentence: a packet that fails",
		bad: []string{"What fails intake gets no answer.", "It returns. What is over is forgotten."}, good: []string{"What is a login?", "What a user mistyped"}},
	{wrong: re(`(?i)\b(first|one|login|sign-in|logon|another's|new|dial) attempts?\b`), except: re(`one attempt (of one user )?to sign in|invalid logon attempts|let attempt|makes one attempt`), better: "login, request",
		bad: []string{"the first attempt is rejected", "one attempt is one bind"}, good: []string{"max-failed-attempts", "login: one attempt to sign in"}},
	{wrong: re(`(?i)\b(logins?|prompts?|packets?|requests?) (is|are|was|were|stays?) (held|parked)\b`), better: "waits",
		bad: []string{"the packet is held"}, good: []string{"the lock is held"}},
	{wrong: re(`(?i)\b(a|each|every|open|pending) waits?\b( (that|which|is|of)\b|[.,;])|\bthe wait of (a|the) user\b`), better: "a pending login, a waiter",
		files: re(`^(mfa|docs|radius)/`), bad: []string{"ends the wait of a user", "each wait is one login"}, good: []string{"the waits are short", "who waits"}},
	{wrong: re(`\bpackets? +(\[\])?\*?waiter\b`), better: "waiters: a packet is of radius", files: re(`^mfa/`),
		bad: []string{"func merge(packets []waiter)"}, good: []string{"the packet of a waiter"}},
	{wrong: re(`(?i)\b(wrong|used|right|locked) codes?\b|\b(carry|carries|without|method is|user has) a code\b`), except: re(`(?i)\b(device|reason|exit|status) codes?\b|what was used`), better: "passcode, device code",
		files: re(`\.md$|^mfa/web/page/`), bad: []string{"ten wrong codes", "a login that can carry a code"}, good: []string{"wrong passcodes", "a wrong device code", "reason code"}},
	{wrong: re(`(?i)\b(at|guards) the door\b|\bat every door\b|\b(opens?|guards) a door\b|\bdoors that\b`), better: "discarded, when a name comes in",
		bad: []string{"refused at the door", "doors that the operator opens"}, good: []string{"the HTTP door", "by which door"}},
	{wrong: re(`(?i)\bthe callers?'s? (phone|password|device)\b|\bcallers? (signs? in|approves?)\b`), better: "user",
		bad: []string{"the caller approves"}, good: []string{"the caller of a function", "an unknown caller"}},
	{wrong: re(`(?i)\btrying on\b|\bit is over all the same\b|cannot be written; it`), better: "will retry, cannot record",
		bad: []string{"statistics are not saved; trying on"}, good: []string{"will retry"}},
	{wrong: re(`(?i)\b(rides?|rode) (on|along|with)\b`), better: "joins, uses",
		bad: []string{"may ride on that approval"}, good: []string{"overrides on the client"}},
	{wrong: re(`(?i)\b(the|a|one|its|device's|shown|typed) match (code|that|is typed|of the device)\b|\bmatch code\b`), better: "device code",
		bad: []string{"types the match code"}, good: []string{"the matching line", "a match of the name"}},
}

// find returns where the phrase is wrong in a text, empty if nowhere.
func (p *phrase) find(file, text string) string {
	if p.files != nil && !p.files.MatchString(file) {
		return ""
	}
	if p.except != nil {
		text = p.except.ReplaceAllString(text, "\u2026")
	}
	return p.wrong.FindString(text)
}

// allowedPhrases are where a phrase stays: a file, the text around, and why.
var allowedPhrases = []struct{ file, text, why string }{
	{"cmd/radmatch/check/web.go", `" but for "`, "follows \"is not for\" in another text"},
	{"mfa/web/doc.go", "at the door that is package front", "the door is what glossary.md calls so"},
	{"cmd/radmatch/nas/load.go", "sends again what is due", "the packets whose time has come"},
	{"mfa/login/pending_test.go", "the primary asks what is due", "a password or a code, as its dialog goes"},
	{"mfa/password/passwordtest/spellings.go", "\u13e3her", "a name in letters that look alike"},
	{"docs/glossary.md", "A person is a *user*", "says which words are not used"},
	{"docs/attributes.md", "**Who comes first decides for a type**", "a list of two kinds, of which the first decides"},
}

// TestPhrases: words that are right in one use and wrong in another are used rightly,
// in comments, texts, documents and pages.
func TestPhrases(t *testing.T) {
	used := make([]bool, len(allowedPhrases))
	for file, f := range wordedFiles(t) {
		for _, text := range f.prose {
			for i := range phrases {
				found := phrases[i].find(file, text)
				if found == "" {
					continue
				}
				allowed := false
				for k, a := range allowedPhrases {
					if file == a.file && strings.Contains(text, a.text) {
						used[k], allowed = true, true
					}
				}
				if !allowed {
					at := max(0, strings.Index(text, found)-60)
					t.Errorf("%s: got %q in %q; want %s", file, strings.TrimSpace(found[:min(len(found), 40)]), cutText(text[at:]), phrases[i].better)
				}
			}
		}
	}
	for k, a := range allowedPhrases {
		if !used[k] || a.why == "" {
			t.Errorf("got no use of the exception %q in %s, or no reason for it; want both", a.text, a.file)
		}
	}
}

// TestPhrasesAreFound: each phrase is found where it is wrong, and nowhere else: a new
// misuse fails TestPhrases.
func TestPhrasesAreFound(t *testing.T) {
	for i := range phrases {
		p := &phrases[i]
		file := "mfa/x.go"
		if p.files != nil && !p.files.MatchString(file) {
			file = "docs/x.md"
		}
		if len(p.bad) == 0 || len(p.good) == 0 || p.better == "" {
			t.Errorf("%s: got no example; want a wrong use, a right one and the better word", p.wrong)
		}
		for _, text := range p.bad {
			if p.find(file, text) == "" {
				t.Errorf("%q: got no finding; want one by %s", text, p.wrong)
			}
		}
		for _, text := range p.good {
			if found := p.find(file, text); found != "" {
				t.Errorf("%q: got the finding %q by %s; want none", text, found, p.wrong)
			}
		}
	}
}

// shortMessage is a message of a test without a value.
var shortMessage = regexp.MustCompile(`\.(?:Error|Fatal)\("((?:\\.|[^"\\])*)"\)`)

// TestMessages: a message of a test says what was got and what was wanted, or is a
// sentence of some words; a bare fact says nothing in the log of a failure.
func TestMessages(t *testing.T) {
	const sentence = 7 // words
	said := regexp.MustCompile(`\b(got|want|wanted|expect|expected)\b`)
	checked := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		for _, m := range shortMessage.FindAllSubmatch(src, -1) {
			checked++
			if text := string(m[1]); len(strings.Fields(text)) < sentence && !said.MatchString(text) {
				t.Errorf("%s: got the message %q; want one with got and want", path, text)
			}
		}
		return err
	})
	if err != nil || checked < 100 {
		t.Fatalf("got %d messages, %v; want those of all tests", checked, err)
	}
}
