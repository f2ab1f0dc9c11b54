"""How bytes become answers: connections, their limits and deadlines, and the express lane."""
