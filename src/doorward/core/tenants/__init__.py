"""Tenants: registration, settings, password, deletion, and what operators do with them."""
