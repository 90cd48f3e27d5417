package smtpd

import "postrider/internal/reply"

// Replies that do not depend on what the client said (RFC 5321 §4.2.3, RFC 3463).
var (
	ok           = reply.New(250, 0, 0, "Ok")
	okSender     = reply.New(250, 1, 0, "Ok")
	okRcpt       = reply.New(250, 1, 5, "Ok")
	okLogin      = reply.New(235, 7, 0, "Authentication successful")
	okStartTLS   = reply.New(220, 0, 0, "Ready to start TLS")
	bye          = reply.New(221, 0, 0, "Bye")
	helpText     = reply.New(214, 0, 0, "Commands: HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS AUTH")
	cannotVerify = reply.New(252, 1, 5, "Cannot VRFY user, but will take mail and try to deliver it")
	chunkTaken   = reply.New(250, 0, 0, "Ok: chunk received")
	goAhead      = &reply.Reply{Code: 354, Text: "End data with <CR><LF>.<CR><LF>"}

	errCommand      = reply.New(500, 5, 1, "Command not recognized")
	errNotOffered   = reply.New(502, 5, 1, "Command not implemented")
	errLine         = reply.New(500, 5, 2, "Bad syntax")
	errTooLong      = reply.New(500, 5, 2, "Line too long")
	errSyntax       = reply.New(501, 5, 4, "Bad arguments")
	errParam        = reply.New(501, 5, 4, "Bad parameter")
	errUnknownParam = reply.New(555, 5, 4, "Unknown parameter")

	errHello       = reply.New(503, 5, 1, "Say hello first")
	errNested      = reply.New(503, 5, 1, "A transaction is in progress")
	errNoMail      = reply.New(503, 5, 1, "Need MAIL command")
	errNoRcpt      = reply.New(503, 5, 1, "Need RCPT command")
	errNoValidRcpt = reply.New(554, 5, 1, "No valid recipients")
	errChunks      = reply.New(503, 5, 1, "A message is being sent in chunks")

	errNeedTLS   = reply.New(530, 7, 0, "Must issue a STARTTLS command first")
	errNeedAuth  = reply.New(530, 7, 0, "Authentication required")
	errHaveTLS   = reply.New(503, 5, 1, "TLS is already active")
	errEncrypt   = reply.New(538, 7, 11, "Encryption required for authentication")
	errHaveAuth  = reply.New(503, 5, 1, "Already authenticated")
	errMechanism = reply.New(504, 5, 4, "Unrecognized authentication mechanism")
	errCancelled = reply.New(501, 0, 0, "Authentication cancelled")
	errBase64    = reply.New(501, 5, 2, "Cannot decode response")
	errAuthLine  = reply.New(500, 5, 6, "Authentication exchange line is too long")
	errAuth      = reply.New(535, 7, 8, "Authentication credentials invalid")
	errAuthLater = reply.New(454, 7, 0, "Temporary authentication failure")
	errXClient   = reply.New(550, 7, 0, "XCLIENT is not for you")

	errSender    = reply.New(501, 1, 7, "Bad sender address syntax")
	errRcpt      = reply.New(501, 1, 3, "Bad recipient address syntax")
	errUTF8      = reply.New(553, 6, 7, "Non-ASCII address without SMTPUTF8")
	errRelay     = reply.New(554, 7, 1, "Relay access denied")
	errUnknown   = reply.New(550, 1, 1, "Recipient address rejected: User unknown")
	errRcptLater = reply.New(451, 3, 0, "Recipient cannot be checked now, try again later")
	errAlias     = reply.New(451, 3, 5, "Recipient address cannot be expanded, try again later")
	errManyRcpts = reply.New(452, 5, 3, "Too many recipients")

	errTooBig  = reply.New(552, 3, 4, "Message size exceeds fixed limit")
	errBareEOL = reply.New(550, 6, 11, "Bare CR or LF in message")
	errHops    = reply.New(554, 4, 6, "Too many hops")
	errSpool   = reply.New(451, 3, 0, "Queue file write error")
	errFull    = reply.New(452, 3, 1, "Insufficient system storage")

	// Replies that end the connection.
	endBareEOL     = reply.New(521, 5, 2, "Bare CR or LF in command")
	endBDAT        = reply.New(521, 5, 4, "Bad BDAT size")
	endErrors      = reply.New(421, 7, 0, "Too many errors")
	endJunk        = reply.New(421, 7, 0, "Too many commands without a message")
	endLogins      = reply.New(421, 7, 0, "Too many failed logins")
	endForeign     = reply.New(421, 7, 0, "This is not an HTTP server")
	endTimeout     = reply.New(421, 4, 2, "Timeout")
	endConnections = reply.New(421, 3, 2, "Too many connections")
	endClient      = reply.New(421, 7, 0, "Too many connections from your host")
	endShutdown    = reply.New(421, 3, 2, "Service is shutting down")
)
