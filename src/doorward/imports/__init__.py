"""Imports from other systems: readers of their data, and the import of sessions from backend-auth."""
