"""Sessions: open, verify, refresh, list, revoke, and when they were last used."""
