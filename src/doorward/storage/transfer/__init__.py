"""Whole tables as plain rows: read and written consistently, copied between databases, packed into backup files."""
