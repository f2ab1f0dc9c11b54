"""Logs, access log, metrics and traces.

Imports no store and no HTTP handler: the measured code calls it.
"""
