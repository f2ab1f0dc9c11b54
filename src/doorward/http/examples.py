"""Bodies to show: one for every endpoint that takes one."""

TENANT = {"email": "shop@example.org", "password": "Correct-Horse-9"}
USER = {
    "login": "alice",
    "email": "alice@example.org",
    "password": "correct horse battery staple",
    "sub": "customer-17",
    "company": "Example Ltd",
    "scope": ["orders:read"],
}
PUT_USER = {name: value for name, value in USER.items() if name != "login"}
NEW_PASSWORD = {"current": "correct horse battery staple", "password": "a new and longer password"}
RESET = {"code": "gqYc0vwfcz2-1nFpV0yZNVYDkq4k1y6S", "password": "a new and longer password"}
LOGIN = {"login": "alice", "password": "correct horse battery staple", "deviceId": "laptop"}
TOKEN = {"token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjEifQ.e30.c2ln"}
USER_CHANGES = {"disabled": True}
REFRESH = {"refreshToken": "dr_WyIxIl0.c2ln"}
TOKENS = {"tokens": [TOKEN["token"]]}
SETTINGS = {"settings": {"sessionIdle": 3600}}
NEW_TENANT_PASSWORD = {"current": "Correct-Horse-9", "password": "Battery-Staple-7"}
FAREWELL = {"password": "Correct-Horse-9"}
KEY = {"name": "gateway", "permissions": ["verify"]}
