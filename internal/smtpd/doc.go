// Package smtpd is the suite's SMTP and LMTP server: the protocol (RFC 5321, RFC 2033), and the policy of who may send what to
// whom. It trusts nothing that a client says but what XCLIENT says from configured networks, and what the rights of the
// submit.int socket stand for. It writes to the spool, asks the resolver about recipients and authd about logins, and
// touches nothing else.
//
// # States
//
// A session is one goroutine. What it knows lies in three values, each replaced whole and never reset field by field:
//
//	peer         who is at the other end        set at connect; replaced by XCLIENT
//	state        HELO name, TLS, login          empty at connect and after STARTTLS and XCLIENT
//	transaction  sender, recipients, message    empty at the start, after EHLO, RSET, STARTTLS, XCLIENT, and after each
//	                                            answer to the end of a message, whatever it was
//
// What a command needs, and what it leaves (503 otherwise, and nothing changes):
//
//	command            needs                                       leaves
//	HELO, EHLO, LHLO   -                                           helo set, no transaction
//	STARTTLS           helo, no TLS, no transaction                nothing: the client begins again
//	AUTH               helo, TLS, no login, no transaction         login
//	MAIL               helo, no transaction                        transaction with sender
//	RCPT               transaction, no chunk yet                   one recipient more
//	DATA               transaction, a recipient, no chunk yet      no transaction
//	BDAT n             transaction, a recipient                    transaction with a message in progress
//	BDAT n LAST        transaction, a recipient                    no transaction
//	RSET               -                                           no transaction
//	XCLIENT            configured network, no transaction          another peer, greeted again
//
// # A message
//
//  1. spool: create, with the envelope (452 if there is no room, before anything is sent)
//  2. Received header, then the message through one writer: header (hops, Message-ID; on submission completed), spool
//  3. a fault of the message is remembered, the rest is read to its end, the message is dropped, and the fault answered
//  4. a fault of the connection: the message is dropped and the connection ends; no octet of a body is ever a command
//  5. spool: commit. Only then 250, with the queue id, and it is sent before anything else is read
//
// A message in progress belongs to its transaction: whoever replaces the transaction drops it.
//
// # Attacks, and what stops them
//
//   - End of data that others read differently (LF.LF, LF.CRLF, CRLF.LF, CR.CR): package line knows CRLF.CRLF only, and
//     every bare CR or LF refuses the message (or, in a command, ends the connection).
//   - A read error inside a body: the connection ends.
//   - The size of a BDAT chunk cannot be read: the connection ends, since nobody knows where its octets end.
//   - BDAT that is refused: its octets are read and thrown away, in every state.
//   - Commands sent ahead of STARTTLS: the reader with its buffer is thrown away, the rest breaks the handshake.
//   - HTTP, TLS and SSH clients that were made to speak to us: their first octets end the connection.
//   - Logins that are begun and left: there is a bound for all, and little time for each.
//   - Commands that go round in circles: those without a message are counted, MAIL and empty chunks among them.
//   - Replies that are not read: they are bounded by the input buffer that caused them, and writing has a deadline.
//   - Relaying by "a%b@c", "a!b", "a@b"@c, @a,@b:c@d: routes are dropped, the rest is refused to strangers.
package smtpd
