"""Reserved for connections to servers that are not configured stores. No module yet.

It will be the only package that opens such connections. It refuses addresses that are not public, follows no redirects,
and bounds time and size.
"""
