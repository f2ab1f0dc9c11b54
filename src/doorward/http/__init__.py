"""HTTP: connections, middleware, and the JSON API."""
