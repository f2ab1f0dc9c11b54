"""Rate limits, and waits after failed attempts."""
