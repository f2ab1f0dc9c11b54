"""The life of a user, as a client tells it."""

from harness import Tenant


def test_a_user_logs_in_is_recognised_and_logs_out(tenant: Tenant) -> None:
    assert tenant.create("alice", "pw").status_code == 200
    token = tenant.session("alice", "pw")
    assert tenant.verify(token).json()["decoded"]["login"] == "alice"
    assert tenant.logout(token).json() == {"result": 1}
    assert tenant.verify(token).status_code == 400
