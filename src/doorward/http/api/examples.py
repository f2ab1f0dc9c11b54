"""Example bodies: one per endpoint that takes a body, and one response with a status of its own."""

from doorward.http.api.schemas import UserResponse

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
DELETE_TENANT = {"password": "Correct-Horse-9"}
API_KEY = {"name": "gateway", "permissions": ["verify"]}
USER_RESPONSE = UserResponse(
    id="7d4f5c3a-8a0e-4f2b-9b7a-52e6c1d0a9f4",
    login="alice",
    email="alice@example.org",
    tenant="0b9d3f0e-6a53-4c1e-8d0e-2f6f4c0f7a11",
    company="Example Ltd",
    sub="customer-17",
    registrationDate=1_767_225_600_000,
    lastActivity=1_767_225_600_000,
)

IMPORT_USERS = {
    "users": [
        {
            "login": "alice",
            "email": "alice@example.org",
            "sub": "customer-17",
            "passwordHash": "pbkdf2_sha256$1000000$Qd3Zt8Vw1yLm$5oQ0yXhJ3mE1cWq8nT2bR7uK9vL4sZ6aF0dG1hI2jK4=",
        }
    ]
}
