"""Logs, access log, metrics and traces.

Knows no store and no HTTP handler: what is measured calls it.
"""
