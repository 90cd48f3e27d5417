// Package authd is the server that knows users, checks passwords and hands the connections of who has logged in to their session
// processes (package sessions). It is the only program that reads the passwords table.
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
//	answering  --holds-->            ok           --> proven, if it is one of imap or pop3, for provenTimeout; else idle
//	answering  --does not hold-->    waits until the moment at which every failure is answered, no  --> idle
//	proven     --session, with one connection-->  answering: has the session process take it  --ok, no, later-->  idle
//	proven     --any other question-->  forgotten; the question is answered as in idle
//	any        --syntax error, limit, end of file, session without proof, stray descriptor-->  closed
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
// cannot log in without a password: the answer says who has logged in, and nothing that the front says is taken for that. It
// cannot open a session without a login: a login opens one at most, of the user whom authd found, at once, with a connected Unix
// stream socket and nothing else.
// It can use up three quarters of the connections, and the time of the hashes. It never sees a hash.
//
// A hostile owner of the users file can map any name to any uid at or above first_valid_uid and to the mailbox user's, no other: authd
// logs nobody else in. Both files belong to root; their sizes and hash costs are bounded all the same, for typing errors.
//
// A hostile session process is its user's. What it says counts for the sessions that it was given; authd waits for it in
// goroutines of who logs in as that user, a bounded time, takes no descriptor of it, and lets a uid have a few of these processes
// only. It can shut down the socket that authd logs to, which authd outlives.
//
// A compromised authd has the hashes, can say yes to any login that a front asks about, and can have session processes of ordinary
// users serve a connection of its own: all mail. It holds no capability; the spawner, which does, takes no orders but to start a
// session process for a uid that is no system user's, the mailbox user's excepted.
package authd
