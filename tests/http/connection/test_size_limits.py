from harness import Tenant


def test_a_body_may_be_as_large_as_its_path_allows(tenant: Tenant) -> None:
    answer = tenant.post("/auth/verify/batch", {"tokens": ["t" * 2000] * 500})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"results": [{"active": False}] * 500}
