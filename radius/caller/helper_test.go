package caller

import (
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

const testSecret = "xyzzy5461" // of the RFCs' examples

func query(user string) *wire.Query {
	return &wire.Query{Code: wire.AccessRequest, User: user, Cred: mfa.Password("arctangent")}
}
