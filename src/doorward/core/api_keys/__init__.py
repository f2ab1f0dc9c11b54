"""API keys: their text format, and create, list, revoke."""
