"""Login of tenants and users: first factor, policy, session.

`flow` is the only way to log in. A method such as `password` authenticates an account and opens no session; `issuer`
opens sessions and knows no method.
"""
