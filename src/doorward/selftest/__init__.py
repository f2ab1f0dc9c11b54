"""An installation attacks itself: two throw-away tenants, over HTTP alone, at every endpoint of the one table."""
