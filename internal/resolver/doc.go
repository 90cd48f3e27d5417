// Package resolver asks the DNS: a stub resolver for the name servers of this host (RFC 1034 §5.3.1), with the questions that
// mail needs and no other.
//
// # Security
//
// Answers are written by whoever owns the domain asked for, pass through a name server that may be broken, and come in
// datagrams that anyone may forge. What such a one can make this package do is bounded:
//
//   - Wrong host: each question goes out from a socket of its own, on a port that the kernel picks, with an ID from
//     crypto/rand; the socket takes datagrams of the server asked only. What comes back must repeat ID and question. Anything
//     else is dropped, and after [maxStray] such datagrams, which look like guessing, the question is asked over TCP. Of an
//     answer only records count that belong to the name asked for or to the chain of CNAMEs from it. Still, without DNSSEC an
//     attacker on the path decides what the DNS says.
//   - A false "no": an answer that is malformed, contradicts itself, or speaks of other names only is a temporary failure,
//     never a missing record. So is a referral. Only NXDOMAIN means that a name does not exist.
//   - A false "secure": the AD bit counts only from servers on the loopback interface or that the administrator trusts, and
//     only if each answer of a chain has it.
//   - Memory: a datagram of at most 4 KiB or a message of at most 64 KiB is read; at most [maxRecords] records of it are looked
//     at, only those asked for are decoded, and [maxKept] of them are kept. The cache is bounded in entries and octets.
//   - Time: one question takes at most attempts × servers × timeout, waiting for its turn included; a chain has at most
//     [maxChain] CNAMEs, each of which can take one question.
//   - Questions: names go out only if they are host names with two labels or more, so that neither garbage nor names of the
//     local network leave the host. There is no search list: every name is complete.
//
// Names in results are printable ASCII. Texts are not: a TXT record holds any octets. Addresses are what the DNS says, be they
// loopback or private; who connects to them must look.
package resolver
