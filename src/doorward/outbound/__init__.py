"""Connections to other servers: SMTP, other providers, webhooks.

The only package that opens connections to addresses that are not configured stores. It refuses addresses that are not
public, follows no redirects, and bounds time and size.
"""
