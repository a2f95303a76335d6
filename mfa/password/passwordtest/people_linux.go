package passwordtest

import (
	"encoding/base64"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"layeh.com/radius/rfc2759"
)

// The users of a Domain. All have its Password.
const (
	// ServiceUser is who searches: a user like any other.
	ServiceUser = "svc-radmatch"
	// Alice is in Staff, which is in VPNUsers, which is in Everybody.
	Alice = "alice"
	// Bob's primary group is Engineers, which is in VPNUsers.
	Bob = "bob"
	// Carol's logon name is CarolUPN: it has nothing in common with the name of the account.
	Carol    = "csmith"
	CarolUPN = "carol.smith@example.com"
	// Joerg has a name that is not ASCII.
	Joerg = "jörg müller"
	// These cannot sign in, though their password is right.
	Disabled      = "disabled"
	Expired       = "expired"       // the account is
	MustChange    = "mustchange"    // the password, at the next logon
	PasswordOld   = "passwordold"   // the password has expired
	NoHours       = "nohours"       // never allowed to sign in
	NoWorkstation = "noworkstation" // only from a computer that is not this one
	Protected     = "protected"     // in Protected Users: no NTLM
	NoDialin      = "nodialin"      // the "Dial-in" tab says no, which only NPS heeds

	// Locked and Target are for tests that lock an account: LockoutThreshold
	// wrong passwords do. Nobody else's can be locked.
	Locked, Target   = "locked", "target"
	LockoutThreshold = 5
)

// The groups of a Domain.
const (
	Staff     = "staff"
	Engineers = "engineers"
	VPNUsers  = "vpn users"
	Everybody = "everybody"
)

// policy makes passwords of the tests possible. No account is locked, except
// for those of lockout.
const policy = `dn: @BASE@
changetype: modify
replace: pwdProperties
pwdProperties: 0
-
replace: minPwdAge
minPwdAge: 0

`

const lockout = `dn: CN=Lockout,CN=Password Settings Container,CN=System,@BASE@
changetype: add
objectClass: msDS-PasswordSettings
msDS-PasswordSettingsPrecedence: 1
msDS-PasswordReversibleEncryptionEnabled: FALSE
msDS-PasswordHistoryLength: 0
msDS-PasswordComplexityEnabled: FALSE
msDS-MinimumPasswordLength: 0
msDS-MinimumPasswordAge: 0
msDS-MaximumPasswordAge: -36288000000000
msDS-LockoutThreshold: 5
msDS-LockoutObservationWindow: -18000000000
msDS-LockoutDuration: -18000000000
msDS-PSOAppliesTo: CN=locked,CN=Users,@BASE@
msDS-PSOAppliesTo: CN=target,CN=Users,@BASE@

`

// setLastSet makes the password of a user old: over LDAP only Samba itself may.
const setLastSet = `
import sys, ldb
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB
conf, db, dn = sys.argv[1:]
lp = LoadParm()
lp.load(conf)
m = ldb.Message()
m["pwdLastSet"] = ldb.MessageElement("130000000000000000", ldb.FLAG_MOD_REPLACE, "pwdLastSet")
sam = SamDB(url=db, session_info=system_session(), lp=lp)
m.dn = ldb.Dn(sam, dn)
sam.modify(m, controls=["local_oid:1.3.6.1.4.1.7165.4.3.12:0"])
`

// populate fills the directory.
func (d *Domain) populate(t *testing.T) {
	t.Helper()
	var b strings.Builder
	b.WriteString(d.expand(policy))
	for _, p := range []struct{ name, attributes string }{
		{ServiceUser, ""},
		{Alice, "displayName: Alice Liddell\nmail: alice@example.com\nemployeeID: 4711\ndescription: from AD\n"},
		{Bob, "mail: bob@example.com\n"},
		{Carol, "userPrincipalName: " + CarolUPN + "\nmail: carol@example.com\n"},
		{Joerg, "userPrincipalName: joerg@ad.example.org\n"},
		{Disabled, ""},
		{Expired, "accountExpires: 130000000000000000\n"},
		{MustChange, "pwdLastSet: 0\n"},
		{PasswordOld, ""},
		{NoHours, "logonHours:: " + base64.StdEncoding.EncodeToString(make([]byte, 21)) + "\n"},
		{NoWorkstation, "userWorkstations: ELSEWHERE\n"},
		{Protected, ""},
		{NoDialin, "msNPAllowDialin: FALSE\n"},
		{Locked, ""},
		{Target, ""},
	} {
		b.WriteString(d.userLDIF(p.name, p.attributes))
	}
	for _, g := range []struct{ name, members string }{
		{Staff, Alice}, {Engineers, Bob}, {VPNUsers, Staff + "," + Engineers}, {Everybody, VPNUsers},
	} {
		fmt.Fprintf(&b, "dn: %s\nchangetype: add\nobjectClass: group\nsAMAccountName: %s\n", d.DN(g.name), g.name)
		for member := range strings.SplitSeq(g.members, ",") {
			fmt.Fprintf(&b, "member: %s\n", d.DN(member))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "dn: %s\nchangetype: modify\nadd: member\nmember: %s\n\n", d.DN("Protected Users"), d.DN(Protected))
	b.WriteString(d.expand(lockout))
	d.Modify(t, b.String())
	d.Modify(t, fmt.Sprintf("dn: %s\nchangetype: modify\nreplace: primaryGroupID\nprimaryGroupID: %s\n", d.DN(Bob), d.rid(t, Engineers)))
	run(t, "", "/usr/bin/python3", "-c", setLastSet, d.path("dc.conf"), d.path("dc/private/sam.ldb"), d.DN(PasswordOld))
}

// user is the LDIF of a user.
func (d *Domain) userLDIF(name, attributes string) string {
	if !strings.Contains(attributes, "userPrincipalName") {
		attributes += fmt.Sprintf("userPrincipalName: %s@%s\n", name, strings.ToLower(d.Realm))
	}
	control := 512 // a normal account
	if name == Disabled {
		control |= 2
	}
	password, _ := rfc2759.ToUTF16([]byte(`"` + d.Password + `"`))
	return fmt.Sprintf("dn: %s\nchangetype: add\nobjectClass: user\nsAMAccountName: %s\nuserAccountControl: %d\nunicodePwd:: %s\n%s\n",
		d.DN(name), name, control, base64.StdEncoding.EncodeToString(password), attributes)
}

// DN is the distinguished name of a user or group.
func (d *Domain) DN(name string) string { return "CN=" + name + ",CN=Users," + d.BaseDN }

// rid is the last part of a group's SID.
func (d *Domain) rid(t *testing.T, group string) string {
	t.Helper()
	out := run(t, "", "samba-tool", "group", "show", group, "--attributes=objectSid", "--configfile="+d.path("dc.conf"))
	out = strings.TrimSpace(out)
	return out[strings.LastIndexByte(out, '-')+1:]
}

// Modify changes the directory, as its administrator.
func (d *Domain) Modify(t *testing.T, ldif string) {
	t.Helper()
	run(t, ldif, "ldapmodify", append([]string{"-x"}, d.Admin(t)...)...)
}

// Admin returns arguments by which OpenLDAP's programs ask as the administrator.
func (d *Domain) Admin(t *testing.T) []string {
	t.Helper()
	d.write(t, "admin", d.Password)
	return []string{"-H", "ldaps://" + d.Host, "-D", "Administrator@" + d.Realm, "-y", d.path("admin")}
}

// AddNear adds the accounts of NearNames, as far as the directory takes them: some
// are one account to it. The logon name of the one with index 3 is near3.
func (d *Domain) AddNear(t *testing.T) {
	t.Helper()
	base64Of := base64.StdEncoding.EncodeToString
	password, _ := rfc2759.ToUTF16([]byte(`"` + d.Password + `"`))
	var b strings.Builder
	for i, name := range NearNames {
		fmt.Fprintf(&b, "dn: %s\nchangetype: add\nobjectClass: user\nuserAccountControl: 512\nsAMAccountName:: %s\nunicodePwd:: %s\nuserPrincipalName: near%d@%s\n\n",
			d.DN(fmt.Sprintf("no name %d", i)), base64Of([]byte(name)), base64Of(password), i, strings.ToLower(d.Realm))
	}
	cmd := exec.CommandContext(t.Context(), "ldapmodify", append([]string{"-x", "-c"}, d.Admin(t)...)...)
	cmd.Stdin = strings.NewReader(b.String())
	out, _ := cmd.CombinedOutput() // fails for those that it does not take
	if n := strings.Count(string(out), "adding new entry"); n != len(NearNames) {
		t.Fatalf("ldapmodify has tried %d of %d: %s", n, len(NearNames), out)
	}
}
