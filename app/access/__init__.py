"""Who may do what: keys with their scopes, and where they are kept."""
