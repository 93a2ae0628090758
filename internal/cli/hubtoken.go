package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/user"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/access"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func hubTokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", Short: "Make, list and revoke API tokens",
		Long: "Make, list and revoke API tokens. These commands work on the hub's records; the hub may run meanwhile.",
	}
	where := &records{}
	where.flags(cmd)
	cmd.AddCommand(tokenCreateCommand(where), tokenListCommand(where), tokenRevokeCommand(where))
	return cmd
}

func tokenCreateCommand(where *records) *cobra.Command {
	var token access.Token
	var role string
	var all bool
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "create", Short: "Make an API token and print it, once", Args: cobra.NoArgs,
		Long: "Make an API token and print it. It is printed this once: the hub keeps only a hash of it.\n\n" +
			"A viewer reads and previews; an editor also writes cloud accounts, address pools and clusters; an admin also\n" +
			"writes gateways and reads the audit log.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			token.Role = hubapi.Role(role)
			if all {
				token.Project = ""
			}
			return where.use(cmd.Context(), func(db store.Database) error {
				made, text, err := access.NewTokens(db, nil).Create(cmd.Context(), token, expires)
				if err != nil {
					return err
				}
				if err := auditToken(cmd.Context(), db, http.MethodPut, made); err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "Token %s: %s of %s, %s. Keep it now, it cannot be shown again.\n",
					made.ID, made.Role, projectOf(made), validity(made, time.Now()))
				_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&token.Project, "project", hubapi.DefaultProject, "the only project the token is good for")
	flags.BoolVar(&all, "all-projects", false, "make it good for all projects, and for /metrics")
	flags.StringVar(&role, "role", string(hubapi.RoleViewer), "viewer, editor or admin")
	flags.StringVar(&token.Name, "name", "", "what people call it")
	flags.DurationVar(&expires, "expires", 0, "how long it is good for, such as 720h; 0 is for ever")
	cmd.MarkFlagsMutuallyExclusive("project", "all-projects")
	return cmd
}

func tokenListCommand(where *records) *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "list", Short: "List API tokens, without their secrets", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return where.use(cmd.Context(), func(db store.Database) error {
				tokens, err := access.NewTokens(db, nil).List(cmd.Context(), project)
				if err != nil {
					return err
				}
				table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "ID\tPROJECT\tROLE\tNAME\tCREATED\tSTATE")
				for _, t := range tokens {
					fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, projectOf(t), t.Role, t.Name,
						t.CreatedAt.UTC().Format(time.RFC3339), validity(t, time.Now()))
				}
				return table.Flush()
			})
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "only those of one project")
	return cmd
}

func tokenRevokeCommand(where *records) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Revoke an API token for good",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("name one token by its id, which hub token list shows")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return where.use(cmd.Context(), func(db store.Database) error {
				token, err := access.NewTokens(db, nil).Revoke(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if err := auditToken(cmd.Context(), db, http.MethodDelete, token); err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "Token %s is %s.\n", token.ID, validity(token, time.Now()))
				return err
			})
		},
	}
}

// auditToken keeps in the audit log who did something to a token. The commands work on the records themselves, so it is the
// operating system that says who that is.
func auditToken(ctx context.Context, db store.Database, method string, token access.Token) error {
	actor := "command"
	if u, err := user.Current(); err == nil {
		actor += ":" + u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	err = db.AppendAudit(ctx, store.AuditEntry{
		Time: time.Now(), Project: token.Project, Actor: actor, Remote: host, Method: method, Route: "/tokens/{id}",
		Kind: store.KindToken, Object: token.ID, Name: token.Name, Outcome: http.StatusOK,
	})
	if err != nil {
		return fmt.Errorf("keeping it in the audit log: %w", err)
	}
	return nil
}

func projectOf(t access.Token) string {
	if t.Project == "" {
		return "all projects"
	}
	return t.Project
}

// validity says whether a token is good, and for how long.
func validity(t access.Token, now time.Time) string {
	switch {
	case !t.RevokedAt.IsZero():
		return "revoked at " + t.RevokedAt.UTC().Format(time.RFC3339)
	case t.ExpiresAt.IsZero():
		return "good until it is revoked"
	case !t.Usable(now):
		return "expired at " + t.ExpiresAt.UTC().Format(time.RFC3339)
	default:
		return "good until " + t.ExpiresAt.UTC().Format(time.RFC3339)
	}
}
