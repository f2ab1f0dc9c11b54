"""Login of tenants and users; every method of login goes through `flow`.

A method such as `password` authenticates an account and opens no session; `issuer` opens sessions and knows no method.
"""
