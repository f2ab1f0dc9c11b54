"""Doorward: self-hosted, multi-tenant authentication."""

__version__ = "0.1.0"
