// Package authd is the server that knows users and checks passwords. It is the only program that reads the passwords
// table.
//
// # States
//
// A connection is idle, in an exchange, or answering:
//
//	idle       --who, mechanisms-->  answering  --ok, no, later-->  idle
//	idle       --auth-->             exchange
//	exchange   --challenge-->        waits for cont or abort, at most exchangeTimeout
//	exchange   --abort-->            no           --> idle
//	exchange   --last message-->     answering: waits its turn (throttle), then for a free hash (gate), then verifies
//	answering  --holds-->            ok           --> idle
//	answering  --does not hold-->    waits until the moment at which every failure is answered, no  --> idle
//	any        --syntax error, limit, end of file-->  closed
//
// A login that waits too long for its turn or for a hash is answered later, and neither counts as a failure.
//
// # Trust
//
// A hostile client speaks SASL through a front. It can guess passwords: each failure makes the next attempt for the same
// user, and the next from the same address or network, wait longer, whoever logs in meanwhile. It cannot learn which users
// exist: an unknown name costs the same hash and is answered at the same moment with the same word, and SCRAM gets a salt
// derived from the name. It cannot lock a user out of the addresses from which that user has logged in: failures do not
// drive them out of memory, and they have hashes and questions to PAM of their own. It cannot stop questions about users,
// nor make the tables here grow without bound. It can make strangers' addresses wait, and users at new addresses.
//
// A hostile front (any process that may open the socket: group pr-login) sees the passwords that its clients type, and may
// lie about a client's address, and so guess without being slowed per address, though not per user; or as from where the
// user has logged in, and so a few times between two logins without being slowed at all. It can ask who any user is. It
// cannot log in without a password: the answer says who has logged in, and nothing that the front says is taken for that.
// It can use up three quarters of the connections, and the time of the hashes. It never sees a hash.
//
// A hostile owner of the users file can map any name to any uid at or above first_valid_uid, not below: authd logs nobody
// in below it. Both files belong to root; their sizes and hash costs are bounded all the same, for typing errors.
//
// A compromised authd has the hashes and can say yes to any login that a front asks about. It holds no capability: to
// become the user of a session will be the task of a spawner process of its own.
package authd
