"""What the service does. Knows no framework, no driver, no environment."""
