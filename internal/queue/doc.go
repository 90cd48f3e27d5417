// Package queue is what localdeliver and relayd do alike with the messages of their channel: it knows which wait for what time,
// whose turn it is, how many are worked on at once, and what others may see and do through the control socket. It keeps names
// only; the files are the truth. A name may be of a file that the administrator has taken away: whoever opens it finds out.
package queue
