"""Keeps things: one module per store, none of which knows another."""
