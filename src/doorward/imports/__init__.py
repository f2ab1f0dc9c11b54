"""Bringing accounts and sessions in from other systems: readers of what those keep, and who writes it down here."""
