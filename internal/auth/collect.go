package auth

// Respond has the client answer a challenge. Its errors are the caller's own.
type Respond func(challenge []byte) ([]byte, error)

// Collect has a client say all that it says in a login by PLAIN (RFC 4616) or LOGIN (draft-murchison-sasl-login), whose challenges
// tell it nothing: so a client that keeps silent keeps nobody else from authd. It returns the initial response for the Request, and
// what answers authd's challenges from then on. Other mechanisms, in upper case as these, are left as they are.
func Collect(mechanism string, initial []byte, respond Respond) ([]byte, Respond, error) {
	var err error
	switch mechanism {
	case "PLAIN":
		if initial == nil {
			initial, err = respond(nil)
		}
	case "LOGIN":
		if initial == nil {
			initial, err = respond([]byte("Username:"))
		}
		if err != nil {
			return nil, nil, err
		}
		var password []byte
		password, err = respond([]byte("Password:"))
		respond = once(password, respond)
	}
	return initial, respond, err
}

// once answers the first challenge with what is known already.
func once(answer []byte, respond Respond) Respond {
	said := false
	return func(challenge []byte) ([]byte, error) {
		if said {
			return respond(challenge)
		}
		said = true
		return answer, nil
	}
}
