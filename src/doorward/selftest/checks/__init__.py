"""Checks of the self-test, one module per subject."""
