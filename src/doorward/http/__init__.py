"""Talks to the outside: reads a request, asks core, writes the answer."""
