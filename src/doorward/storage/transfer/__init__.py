"""Whole tables: copied between databases, and packed into backup files."""
