"""What is tried, by subject."""
