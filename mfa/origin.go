package mfa

// Origin is where a login comes from: whose it is, at which client, from which place.
// All texts come from the network: cut and escape them wherever a user sees them.
type Origin struct {
	Client  string `json:"client,omitempty"`
	Group   string `json:"group,omitempty"`    // the client's
	User    Name   `json:"user,omitzero"`      // canonical, or as sent where the primary said no
	EndUser string `json:"end_user,omitempty"` // as Request.EndUser
	Claimed bool   `json:"claimed,omitempty"`  // EndUser is only what the user's machine calls itself
	Source  string `json:"source,omitempty"`   // address and port that the packet came from
}

// Origin returns where the request comes from, for the user that it proved to be.
func (r *Request) Origin(user Name) Origin {
	return Origin{Client: r.Client.Name, Group: r.Client.Group, User: user, EndUser: r.EndUser, Claimed: r.Claimed(), Source: r.Source}
}

// ForPrompt returns what devices are shown of the request.
func (r *Request) ForPrompt() PromptRequest {
	return PromptRequest{Time: r.Received, Client: r.Client.Name, EndUser: r.EndUser, Claimed: r.Claimed(), Source: r.Source, Address: r.Address}
}
