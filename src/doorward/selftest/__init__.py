"""Self-test: attacks a running installation over HTTP, at every endpoint, with two temporary tenants."""
