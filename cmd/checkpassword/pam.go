//go:build pam

package main

import (
	"errors"
	"fmt"

	"github.com/msteinert/pam/v2"
)

// pamService is the file in /etc/pam.d.
const pamService = "postrider"

// refusals are PAM's ways to say no to this user or password; every other error means that it cannot tell.
var refusals = []pam.Error{
	pam.ErrAuth, pam.ErrUserUnknown, pam.ErrMaxtries, pam.ErrPermDenied, pam.ErrAcctExpired, pam.ErrNewAuthtokReqd,
	pam.ErrCredExpired, pam.ErrAuthtokExpired,
}

// verify authenticates the user and asks whether the account may be used. It returns the name that PAM ended with.
func verify(name, password, rip string) (string, error) {
	asked := false
	t, err := pam.StartFunc(pamService, name, func(style pam.Style, _ string) (string, error) {
		switch style {
		case pam.PromptEchoOff:
			if asked { // a second factor: there is nobody to ask
				return "", errors.New("no answer")
			}
			asked = true
			return password, nil
		case pam.TextInfo, pam.ErrorMsg:
			return "", nil
		}
		return "", errors.New("no answer")
	})
	if err != nil {
		return "", fmt.Errorf("start: %w", err)
	}
	defer t.End()
	if rip != "" {
		if err := t.SetItem(pam.Rhost, rip); err != nil {
			return "", fmt.Errorf("set rhost: %w", err)
		}
	}
	if err := t.SetItem(pam.Tty, "postrider"); err != nil {
		return "", fmt.Errorf("set tty: %w", err)
	}
	if err := t.Authenticate(pam.Silent | pam.DisallowNullAuthtok); err != nil {
		return "", refusal("authenticate", err)
	}
	if err := t.AcctMgmt(pam.Silent | pam.DisallowNullAuthtok); err != nil {
		return "", refusal("account", err)
	}
	canonical, err := t.GetItem(pam.User)
	if err != nil {
		return "", fmt.Errorf("get user: %w", err)
	}
	return canonical, nil
}

// refusal tells no from later.
func refusal(step string, err error) error {
	for _, r := range refusals {
		if errors.Is(err, r) {
			return errRefused
		}
	}
	return fmt.Errorf("%s: %w", step, err)
}
