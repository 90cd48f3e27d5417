package authd

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"postrider/internal/config"
	"postrider/internal/password"
	"postrider/internal/table"
)

// list prints the users of the table and everyone with a password, each password with its label and services.
func (c *userCommand) list(cfg *config.Config, out io.Writer) error {
	users := table.Open(cfg, table.Options{}).Users
	problems := users.Load().Errors()
	entries, more := password.Load(cfg.Tables.Passwords)
	problems = append(problems, more...)
	mailboxes := make(map[string]table.User)
	names := make(map[string]bool)
	for u := range users.All() {
		mailboxes[u.Name], names[u.Name] = u, true
	}
	for name := range entries {
		names[name] = true
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, name := range sorted(names) {
		if c.name != "" && !strings.EqualFold(c.name, name) {
			continue
		}
		where := "-\t-\t-"
		if u, ok := mailboxes[name]; ok {
			where = fmt.Sprintf("%d:%d\t%s\t%s", u.UID, u.GID, u.Home, config.Size(u.Quota))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", name, where, describe(entries[name]))
	}
	return errors.Join(w.Flush(), problems.Err())
}

func sorted(names map[string]bool) []string {
	list := make([]string, 0, len(names))
	for name := range names {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// describe lists passwords as label(services).
func describe(entries []password.Entry) string {
	if len(entries) == 0 {
		return "no password"
	}
	list := make([]string, len(entries))
	for i, e := range entries {
		label, services := e.Label, "all"
		if label == "" {
			label = "password"
		}
		if e.Services != nil {
			services = strings.Join(e.Services, ",")
		}
		list[i] = label + "(" + services + ")"
	}
	return strings.Join(list, " ")
}
