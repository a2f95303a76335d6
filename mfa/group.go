package mfa

// Group is a group of users: its name, in its form as a Name is, or its DN. The two
// are never taken for each other: anyone who may choose the name of a group could
// call it like the DN of another one.
type Group struct {
	name Name
	// dn is where the group is in a directory. Of a Group that is known by its DN
	// alone, byDN, it is the form by which DNs are compared.
	dn   string
	byDN bool
}

// GroupOf reads what a file or a command calls a group: its DN where the text is
// one, else its name.
func GroupOf(text string) Group {
	if form, ok := dnForm(text); ok {
		return Group{name: NameOf(text), dn: form, byDN: true}
	}
	return Group{name: NameOf(text)}
}

// GroupIn is a group of a directory, whose name is no DN whatever it looks like.
func GroupIn(name, dn string) Group { return Group{name: NameOf(name), dn: dn} }

// GroupsOf reads what a file calls groups.
func GroupsOf(texts ...string) []Group {
	if len(texts) == 0 {
		return nil
	}
	groups := make([]Group, len(texts))
	for i, s := range texts {
		groups[i] = GroupOf(s)
	}
	return groups
}

// Is reports whether both are one group: by their DNs where one of them is known
// by that alone, else by their names.
func (g Group) Is(other Group) bool {
	if !g.byDN && !other.byDN {
		return g.name.Is(other.name)
	}
	own, ok := g.form()
	theirs, too := other.form()
	return ok && too && own == theirs
}

// form is that of the DN. A directory's own is brought into it when it is asked
// for, because few files name groups by DNs.
func (g Group) form() (form string, ok bool) {
	if g.byDN {
		return g.dn, true
	}
	return dnForm(g.dn)
}

// DN returns the DN as it is spelled; empty for a group that is known by its name alone.
func (g Group) DN() string {
	if g.byDN {
		return g.name.String()
	}
	return g.dn
}

// ByDN reports whether the group is known by its DN alone.
func (g Group) ByDN() bool { return g.byDN }

// Everyone reports whether this is AllUsers.
func (g Group) Everyone() bool { return !g.byDN && g.name.form == AllUsers }

// IsZero reports whether there is no name.
func (g Group) IsZero() bool { return g.name.IsZero() }

// String returns the spelling.
func (g Group) String() string { return g.name.String() }

// MarshalText writes the spelling.
func (g Group) MarshalText() ([]byte, error) { return g.name.MarshalText() }

// UnmarshalText reads a spelling.
func (g *Group) UnmarshalText(b []byte) error {
	*g = GroupOf(string(b))
	return nil
}
