"""Tokens: the strict HS256 codec, signing keys, tokens of the predecessor."""
