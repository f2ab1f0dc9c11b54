"""Rate limits: guessing is slow, floods are bounded, ordinary clients are unaffected."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from doorward.core.ports import Backoff
from doorward.settings import Settings
from harness import KEY, PASSWORD, Service, Tenant, TurnableClock, read_settings, running
from internals import carry_out, services

RULE = Backoff()
AT_ONCE = RULE.free_attempts + 1
"""So many failures it takes until the next attempt has to wait."""
_days = count()


@pytest.fixture
def clock() -> TurnableClock:
    """A clock further on than any test before, so that a store that outlives a test has forgotten its budgets."""
    clock = TurnableClock()
    clock.turn(seconds=86_400 * next(_days))
    return clock


@pytest.fixture
def tenant(service: Service) -> Tenant:
    return service.tenant(f"{uuid4().hex}@example.org")


Start = Callable[..., Service]


@pytest.fixture
def start(store: dict[str, str], tmp_path: Path, clock: TurnableClock) -> Iterator[Start]:
    """Start a service with settings of one's own, over the data of this test."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda **more: stack.enter_context(running(read_settings(tmp_path, {**store, **more}), clock))


def unproven(service: Service, http: httpx.Client | None = None, **headers: str) -> httpx.Response:
    """Send a request that proves nothing."""
    return (http or service.client()).post("/auth/verify", json={"token": "x"}, headers=headers)


def statuses(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def in_parallel(times: int, ask: Callable[[int], httpx.Response], clients: int = 20) -> list[httpx.Response]:
    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(ask, range(times)))


# ------------------------------------------------------------------------------------------------ wrong passwords


def wrong_user(tenant: Tenant) -> httpx.Response:
    return tenant.login("alice", "wrong")


def right_user(tenant: Tenant) -> httpx.Response:
    return tenant.login("alice", "pw")


def wrong_tenant(tenant: Tenant) -> httpx.Response:
    return tenant.http.post("/tenant/login", json={"email": tenant.email, "password": "Wrong-Password-1"})


def right_tenant(tenant: Tenant) -> httpx.Response:
    return tenant.http.post("/tenant/login", json={"email": tenant.email, "password": PASSWORD})


def nobody(tenant: Tenant) -> httpx.Response:
    return tenant.login("nobody", "wrong")


def no_tenant(tenant: Tenant) -> httpx.Response:
    body = {"email": f"nobody-{tenant.email}", "password": "Wrong-Password-1"}
    return tenant.http.post("/tenant/login", json=body)


Ask = Callable[[Tenant], httpx.Response]
SECRETS = [pytest.param(wrong_user, right_user, id="user"), pytest.param(wrong_tenant, right_tenant, id="tenant")]
"""Every path that checks a secret."""


@pytest.mark.parametrize(("wrong", "right"), SECRETS)
def test_BF1_BF5_a_hundred_failures_in_a_row_and_no_more(
    tenant: Tenant, clock: TurnableClock, wrong: Ask, right: Ask
) -> None:
    tenant.create("alice")
    for _ in range(RULE.max_failures):
        assert wrong(tenant).status_code in {401, 403}
        clock.turn(milliseconds=RULE.max_wait)
    for _ in range(3):
        for ask in (right, wrong):
            assert_locked(ask(tenant))
        clock.turn(seconds=3600)


def assert_locked(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (429, "account_locked")
    assert "retry-after" not in answer.headers, "no wait helps"


def test_BF1_a_new_password_is_a_new_beginning(start: Start, clock: TurnableClock) -> None:
    service = start(EXISTING_LOGIN="replace")
    tenant = service.tenant(f"{uuid4().hex}@example.org")
    tenant.create("alice")
    for _ in range(RULE.max_failures):
        wrong_user(tenant)
        clock.turn(milliseconds=RULE.max_wait)
    assert_locked(right_user(tenant))
    assert tenant.create("alice", "another").status_code == 200
    assert tenant.login("alice", "another").status_code == 200


@pytest.mark.parametrize(("wrong", "right"), SECRETS)
def test_BF5_BF9_waits_double_and_waiting_exactly_that_long_is_enough(
    tenant: Tenant, clock: TurnableClock, wrong: Ask, right: Ask
) -> None:
    tenant.create("alice")
    for _ in range(AT_ONCE):
        assert wrong(tenant).status_code in {401, 403}
    wait = RULE.first_wait
    while wait < RULE.max_wait:
        refused = wrong(tenant)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == str(wait // 1000)
        assert refused.json()["code"] == "too_many_attempts"
        clock.turn(milliseconds=wait - 1)
        # Knocking early, even with the right password, neither helps nor makes it worse.
        for _ in range(3):
            assert right(tenant).status_code == 429
        clock.turn(milliseconds=1)
        assert wrong(tenant).status_code in {401, 403}
        wait *= 2
    clock.turn(milliseconds=RULE.max_wait)
    assert right(tenant).status_code == 200
    for _ in range(AT_ONCE):
        assert wrong(tenant).status_code in {401, 403}
    assert wrong(tenant).headers["retry-after"] == "1"


def test_EN3_unknown_logins_slow_down_just_the_same(tenant: Tenant, clock: TurnableClock) -> None:
    tenant.create("alice")

    def curve(ask: Ask) -> list[tuple[bool, str | None]]:
        seen = []
        for _ in range(12):
            answer = ask(tenant)
            seen.append((answer.status_code == 429, answer.headers.get("retry-after")))
            clock.turn(milliseconds=700)
        return seen

    assert curve(nobody) == curve(wrong_user)


def test_EN3_S5_names_that_belong_to_no_account_make_room_and_the_others_stay(service: Service, tenant: Tenant) -> None:
    tenant.create("alice")
    asks = (wrong_user, wrong_tenant, nobody, no_tenant)
    for _ in range(AT_ONCE):
        assert {ask(tenant).status_code for ask in asks} == {401, 403, 404}
    assert {ask(tenant).status_code for ask in asks} == {429}
    counters = services(service).rate_limits.counter_store
    assert service.clock
    evicted = counters.evict(RULE._replace(max_unknown=0), now=service.clock(), limit=10)
    assert carry_out(service, evicted) == 2
    assert [ask(tenant).status_code for ask in asks] == [429, 429, 404, 401]


@pytest.mark.parametrize("ask", [nobody, no_tenant, wrong_user], ids=["no user", "no tenant", "user"])
def test_S5_counters_of_made_up_names_expire_in_hours(tenant: Tenant, clock: TurnableClock, ask: Ask) -> None:
    tenant.create("alice")
    for _ in range(2):
        for _ in range(RULE.free_attempts):
            assert ask(tenant).status_code != 429
        clock.turn(milliseconds=RULE.free_attempts * RULE.memory_per_failure)
    for _ in range(AT_ONCE):
        assert ask(tenant).status_code != 429
    assert ask(tenant).status_code == 429


@pytest.mark.parametrize(("wrong", "right"), SECRETS)
def test_BF2_of_many_wrong_passwords_at_once_only_a_few_are_looked_at(
    service: Service, tenant: Tenant, wrong: Ask, right: Ask
) -> None:
    tenant.create("alice")
    passwords = services(service).passwords
    before = passwords.hashed
    clients = [Tenant(service.client(), tenant.id, tenant.email, "", tenant.token) for _ in range(40)]
    answers = in_parallel(200, lambda number: wrong(clients[number % 40]), clients=40)
    assert passwords.hashed - before == AT_ONCE
    assert statuses(answers)[429] == 200 - AT_ONCE
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 429)
    assert right(tenant).status_code == 429


@pytest.mark.parametrize(("wrong", "right"), SECRETS)
def test_BF3_many_right_passwords_at_once_are_all_right(
    service: Service, tenant: Tenant, wrong: Ask, right: Ask
) -> None:
    tenant.create("alice")
    for _ in range(RULE.free_attempts):
        assert wrong(tenant).status_code in {401, 403}
    clients = [Tenant(service.client(), tenant.id, tenant.email, "", tenant.token) for _ in range(20)]
    assert statuses(in_parallel(20, lambda number: right(clients[number]))) == {200: 20}


def test_BF4_every_spelling_of_a_login_is_one(tenant: Tenant) -> None:
    tenant.create("Bob")
    for login in ("Bob", "bob", "BOB", "\uff22\uff2f\uff22", "bOb"):
        assert tenant.login(login, "wrong").status_code == 403
    for login in ("Bob", "bob", "\uff22\uff2f\uff22"):
        assert tenant.login(login, "pw").status_code == 429


def test_TI3_failures_of_one_name_are_nobody_elses(service: Service, tenant: Tenant) -> None:
    other = service.tenant(f"{uuid4().hex}@example.org")
    for one in (tenant, other):
        one.create("alice")
        one.create("carol")
    for _ in range(AT_ONCE):
        wrong_user(tenant)
        wrong_tenant(tenant)
    assert right_user(tenant).status_code == right_tenant(tenant).status_code == 429
    assert tenant.login("carol", "pw").status_code == 200
    assert right_user(other).status_code == right_tenant(other).status_code == 200


def test_BF10_failures_survive_a_restart_and_are_shared(start: Start, clock: TurnableClock) -> None:
    first, second = start(), start()
    tenant = first.tenant(f"{uuid4().hex}@example.org")
    tenant.create("alice")
    elsewhere = Tenant(second.client(), tenant.id, tenant.email, tenant.password, tenant.token)
    for number in range(AT_ONCE):
        assert wrong_user([tenant, elsewhere][number % 2]).status_code == 403
    for one in (tenant, elsewhere):
        assert right_user(one).status_code == 429
    first.stop()
    second.stop()
    third = start()
    again = Tenant(third.client(), tenant.id, tenant.email, tenant.password, tenant.token)
    assert right_user(again).headers["retry-after"] == "1"
    clock.turn(seconds=1)
    assert right_user(again).status_code == 200


# ------------------------------------------------------------------------------------------------------ addresses


UNPROVEN = {
    "POST /auth/verify": ("/auth/verify", {"token": "x"}),
    "POST /auth/logout": ("/auth/logout", {"token": "x"}),
    "POST /auth": ("/auth", {"login": "a", "password": "b", "deviceId": "c"}),
    "POST /user": ("/user", {}),
    "GET /user": ("/user", None),
    "POST /tenant": ("/tenant", {}),
    "POST /tenant/login": ("/tenant/login", {}),
    "POST /tenant/verify": ("/tenant/verify", {"token": "x"}),
    "POST /tenant/logout": ("/tenant/logout", {"token": "x"}),
}


@contextmanager
def by_default(store: dict[str, str], folder: Path, clock: TurnableClock) -> Iterator[Service]:
    """Run a service whose throttle is what an operator gets who sets nothing."""
    with running(Settings.read({"DATA_DIR": str(folder), "JWT_KEY": KEY, **store}, folder), clock) as service:
        yield service


@pytest.mark.parametrize("name", UNPROVEN)
def test_requests_without_proof_are_five_a_second_by_default(
    store: dict[str, str], tmp_path: Path, clock: TurnableClock, name: str
) -> None:
    path, body = UNPROVEN[name]
    with by_default(store, tmp_path, clock) as service:
        http = service.client()
        for headers in ({}, {"Authorization": "Bearer x"}):
            answers = [http.request(name.split(maxsplit=1)[0], path, json=body, headers=headers) for _ in range(8)]
            assert 429 not in statuses(answers[:5])
            assert statuses(answers[5:]) == {429: 3}
            for answer in answers[5:]:
                assert answer.json()["code"] == "too_many_requests"
                assert answer.headers["retry-after"] == "1"
            clock.turn(seconds=1)


def test_BF12_a_tenant_is_never_throttled_by_address(
    store: dict[str, str], tmp_path: Path, clock: TurnableClock
) -> None:
    with by_default(store, tmp_path, clock) as service:
        tenant = service.tenant(f"{uuid4().hex}@example.org")
        assert tenant.create("alice").status_code == 200
        token = tenant.session("alice")
        assert statuses([unproven(service, tenant.http) for _ in range(10)])[429] == 6
        assert statuses([tenant.verify(token) for _ in range(400)]) == {200: 400}
        assert statuses([tenant.verify("dead") for _ in range(50)]) == {400: 50}
        assert statuses([tenant.get("/user") for _ in range(50)]) == {200: 50}
        answers = [tenant.http.post("/tenant/verify", json={"token": tenant.token}) for _ in range(50)]
        assert statuses(answers) == {200: 50}


@pytest.mark.one_setup
@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/openapi.json"])
def test_what_machines_of_the_operator_ask_is_free(
    store: dict[str, str], tmp_path: Path, clock: TurnableClock, path: str
) -> None:
    with by_default(store, tmp_path, clock) as service:
        http = service.client()
        assert statuses([http.get(path) for _ in range(20)]) == {200: 20}


def test_BF9_waiting_exactly_is_enough_and_knocking_early_costs_nothing(start: Start, clock: TurnableClock) -> None:
    service = start(THROTTLER_MAX="2", THROTTLER_INTERVAL="20000")
    http = service.client()
    assert statuses([unproven(service, http) for _ in range(2)]) == {401: 2}
    for _ in range(3):
        refused = unproven(service, http)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "10"
        clock.turn(milliseconds=9_999)
        for _ in range(5):
            assert unproven(service, http).headers["retry-after"] == "1"
        clock.turn(milliseconds=1)
        assert unproven(service, http).status_code == 401


def test_a_budget_is_full_again_after_its_interval(start: Start, clock: TurnableClock) -> None:
    service = start(THROTTLER_MAX="4", THROTTLER_INTERVAL="2000")
    http = service.client()
    for _ in range(3):
        assert statuses([unproven(service, http) for _ in range(6)]) == {401: 4, 429: 2}
        clock.turn(seconds=2)


def counted_for_itself(service: Service) -> bool:
    """Tell, once, whether a service's store did not answer in time: meanwhile each process counts for itself (BF11)."""
    counts = services(service).rate_limits._local
    disturbed = bool(counts)
    counts.clear()
    return disturbed


def test_BF10_budgets_survive_a_restart_and_are_shared(start: Start, clock: TurnableClock) -> None:
    first, second = (start(THROTTLER_MAX="6", THROTTLER_INTERVAL="60000") for _ in range(2))
    clients = [first.client(), second.client()]
    for _ in range(5):
        clock.turn(seconds=60)
        answers = in_parallel(30, lambda number: unproven(first, clients[number % 2]), clients=8)
        if not any([counted_for_itself(first), counted_for_itself(second)]):
            break
    assert statuses(answers) == {401: 6, 429: 24}
    first.stop()
    second.stop()
    assert unproven(start(THROTTLER_MAX="6", THROTTLER_INTERVAL="60000")).status_code == 429


@pytest.mark.one_setup
def test_addresses_of_the_white_list_are_not_throttled(start: Start) -> None:
    service = start(THROTTLER_MAX="1", THROTTLER_WHITE_LIST="10.0.0.0/8, 127.0.0.1", TRUSTED_PROXIES="127.0.0.1")
    http = service.client()
    for address, throttled in {
        "10.1.2.3": False,
        "::ffff:10.1.2.3": False,
        "10.1.2.3:80": False,
        "11.1.2.3": True,
    }.items():
        answers = [unproven(service, http, **{"X-Forwarded-For": address}) for _ in range(3)]
        assert (429 in statuses(answers)) == throttled, address
    direct = start(THROTTLER_MAX="1", THROTTLER_WHITE_LIST="10.0.0.0/8, 127.0.0.1")
    assert statuses([unproven(direct) for _ in range(5)]) == {401: 5}


@pytest.mark.one_setup
def test_BF7_F1_S10_an_unknown_client_is_throttled_whatever_the_list_says_of_the_proxy(start: Start) -> None:
    service = start(THROTTLER_MAX="1", THROTTLER_WHITE_LIST="127.0.0.1", TRUSTED_PROXIES="127.0.0.1")
    http = service.client()
    unreadable: list[dict[str, str]] = [{"X-Forwarded-For": hop} for hop in ("x", "203.0.113.9:x", "[::1", "127.0.0.1")]
    answers = [unproven(service, http, **fields) for fields in [*unreadable, {}]]
    assert statuses(answers) == {401: 1, 429: 4}
    # A readable client is not charged for the unknown ones.
    assert unproven(service, http, **{"X-Forwarded-For": "203.0.113.9:51234"}).status_code == 401
    assert unproven(service, http, **{"X-Forwarded-For": "203.0.113.9:51235"}).status_code == 429
    unconfigured = start(THROTTLER_MAX="1", THROTTLER_WHITE_LIST="127.0.0.1")
    assert statuses([unproven(unconfigured, Via="1.1 proxy") for _ in range(3)]) == {401: 1, 429: 2}


def test_a_least_distance_between_two_requests_is_kept(start: Start, clock: TurnableClock) -> None:
    service = start(THROTTLER_MAX="1000", THROTTLER_MIN_DIFF="1500")
    http = service.client()
    for _ in range(3):
        assert unproven(service, http).status_code == 401
        refused = unproven(service, http)
        assert (refused.headers["retry-after"], refused.json()["budget"]) == ("2", "spacing")
        clock.turn(milliseconds=1_499)
        assert unproven(service, http).status_code == 429
        clock.turn(milliseconds=1)


def test_BF9_what_the_least_distance_refuses_is_not_charged(start: Start, clock: TurnableClock) -> None:
    service = start(THROTTLER_MAX="5", THROTTLER_INTERVAL="60000", THROTTLER_MIN_DIFF="1000")
    http = service.client()
    for _ in range(5):
        assert unproven(service, http).status_code == 401
        assert statuses([unproven(service, http) for _ in range(5)]) == {429: 5}
        clock.turn(seconds=1)
    assert unproven(service, http).status_code == 429


FORWARDING = ["X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP", "Via"]


@pytest.mark.one_setup
@pytest.mark.parametrize("name", FORWARDING)
def test_BF7_nobody_is_believed_about_addresses_by_default(start: Start, name: str) -> None:
    service = start(THROTTLER_MAX="3")
    http = service.client()
    answers = [unproven(service, http, **{name: f"203.0.113.{number}"}) for number in range(8)]
    assert statuses(answers) == {401: 3, 429: 5}


@pytest.mark.one_setup
@pytest.mark.parametrize("name", FORWARDING)
def test_BF7_a_forwarded_address_registers_no_tenant(start: Start, name: str) -> None:
    # Loopback may register by default; who comes through a trusted proxy is not loopback, whatever it says.
    service = start(TRUSTED_PROXIES="127.0.0.0/8")
    fields = {"X-Forwarded-For": "203.0.113.9", **({name: "203.0.113.9"} if name != "X-Forwarded-For" else {})}
    body = {"email": f"{uuid4().hex}@example.org", "password": PASSWORD}
    assert service.client().post("/tenant", json=body, headers=fields).status_code == 403
    spoofed = {"X-Forwarded-For": "127.0.0.1, 203.0.113.9"}
    assert service.client().post("/tenant", json=body, headers=spoofed).status_code == 403


@pytest.mark.one_setup
def test_BF7_a_trusted_proxy_is_believed_and_nobody_before_it(start: Start) -> None:
    service = start(THROTTLER_MAX="2", TRUSTED_PROXIES="127.0.0.0/8, 10.0.0.0/8")
    http = service.client()

    def ask(*forwarded: str) -> list[int]:
        return [unproven(service, http, **{"X-Forwarded-For": value}).status_code for value in forwarded]

    assert ask("203.0.113.1", "203.0.113.1", "203.0.113.1") == [401, 401, 429]
    assert ask("203.0.113.2") == [401]
    assert ask("198.51.100.1, 203.0.113.1", "198.51.100.2, 203.0.113.1, 10.0.0.9") == [429, 429]
    assert ask("x", "203.0.113.3, y", "z") == [401, 401, 429]


@pytest.mark.one_setup
@pytest.mark.parametrize("lane", ["/auth/verify", "/auth/logout"])
def test_BF7_lines_of_the_header_are_one_list(start: Start, lane: str) -> None:
    service = start(THROTTLER_MAX="1", TRUSTED_PROXIES="127.0.0.0/8, 10.0.0.0/8")
    http = service.client()

    def ask(*lines: str) -> int:
        headers = [("X-Forwarded-For", line) for line in lines]
        return http.post(lane, json={"token": "x"}, headers=headers).status_code

    assert ask("198.51.100.1", "203.0.113.1, 10.0.0.9", "10.0.0.8") == 401
    assert ask("203.0.113.1") == 429
    assert ask("203.0.113.2", "10.0.0.8") == 401
    assert ask("203.0.113.3", "203.0.113.2") == 429


@pytest.mark.one_setup
def test_BF8_a_network_of_IPv6_is_one_neighbour(start: Start) -> None:
    service = start(THROTTLER_MAX="5", TRUSTED_PROXIES="127.0.0.1")
    http = service.client()
    answers = [unproven(service, http, **{"X-Forwarded-For": f"2001:db8::{n:x}:1"}) for n in range(100)]
    assert statuses(answers) == {401: 5, 429: 95}
    assert unproven(service, http, **{"X-Forwarded-For": "2001:db8:0:1::1"}).status_code == 401
    mapped = [unproven(service, http, **{"X-Forwarded-For": f}) for f in ["203.0.113.7", "::ffff:203.0.113.7"] * 4]
    assert statuses(mapped) == {401: 5, 429: 3}


# -------------------------------------------------------------------------------------------------------- tenants


Use = Callable[[Tenant, int], httpx.Response]
BUDGETS: dict[str, Use] = {
    "BUDGET_LOGIN": lambda tenant, _: tenant.login("alice", "pw"),
    "BUDGET_WRITE": lambda tenant, number: tenant.create(f"user-{number}"),
    "BUDGET_VERIFY": lambda tenant, _: tenant.http.post("/tenant/verify", json={"token": tenant.token}),
}


@pytest.mark.parametrize("name", BUDGETS)
def test_a_tenant_has_a_budget_of_its_own(start: Start, clock: TurnableClock, name: str) -> None:
    service = start(**{name: "2:3"})
    tenant, other = (service.tenant(f"{uuid4().hex}@example.org") for _ in range(2))
    for one in (tenant, other):
        one.create("alice")
    clock.turn(seconds=10)
    use = BUDGETS[name]
    assert [use(tenant, number).status_code for number in range(5)] == [200, 200, 200, 429, 429]
    refused = use(tenant, 10)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["code"] == "too_many_requests"
    assert use(other, 10).status_code == 200
    clock.turn(milliseconds=499)
    assert use(tenant, 11).status_code == 429
    clock.turn(milliseconds=1)
    assert [use(tenant, number).status_code for number in (12, 13)] == [200, 429]


def test_C12_a_refusal_names_the_budget_that_is_used_up(start: Start) -> None:
    small = {"BUDGET_VERIFY": "1:4", "BUDGET_WRITE": "1:10", "BUDGET_LOGIN": "1:2", "THROTTLER_MAX": "20"}
    service = start(**small)

    def budget(ask: Callable[[Tenant], httpx.Response]) -> str:
        tenant = service.tenant(f"{uuid4().hex}@example.org")
        for _ in range(30):
            answer = ask(tenant)
            if answer.status_code == 429:
                said = answer.json()
                assert "too_many_requests" in {said.get("code"), said["error"]}
                return str(said["budget"])
        pytest.fail("there is no limit")

    users = count()
    large = {"tokens": ["x" * 5000] * 4}
    assert budget(lambda tenant: tenant.get("/user")) == "verify"
    assert budget(lambda tenant: tenant.post("/auth/verify/batch", large)) == "body"
    assert budget(lambda tenant: tenant.verify("x")) == "refused_verify"
    assert budget(lambda tenant: tenant.post("/user", {})) == "refused"
    assert budget(lambda tenant: tenant.create(f"user-{next(users)}")) == "write"
    assert budget(lambda tenant: tenant.get("/users/export")) == "bulk"
    assert budget(lambda tenant: tenant.login()) == "login"
    # RFC 6749 has its own names for the code and the sentence.
    assert budget(lambda t: t.http.post("/oauth/introspect", data={"token": "x"}, headers=t.headers)) == "verify"
    assert budget(lambda _: unproven(service)) == "address"


def test_a_refused_change_changes_nothing(start: Start, clock: TurnableClock) -> None:
    service = start(BUDGET_WRITE="1:1")
    tenant = service.tenant(f"{uuid4().hex}@example.org")
    assert tenant.create("alice").status_code == 200
    assert tenant.create("bob").status_code == 429
    assert tenant.delete("alice").status_code == 429
    assert [user["login"] for user in tenant.get("/user").json()["users"]] == ["alice"]
    clock.turn(seconds=1)
    assert tenant.delete("alice").status_code == 200
