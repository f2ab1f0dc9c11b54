"""Cursors are untrusted text (docs/security/promises.md)."""

import base64
import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from doorward.core.users.cursor import decode_cursor
from harness import Tenant

EXAMPLES = 20_000 if os.environ.get("DOORWARD_TORTURE") else 200
ASKED = 500 if os.environ.get("DOORWARD_TORTURE") else 25
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=120)
DISGUISED = TEXT.map(lambda text: base64.urlsafe_b64encode(text.encode()).decode())


@settings(max_examples=EXAMPLES)
@given(st.one_of(st.text(max_size=200), DISGUISED, DISGUISED.map(lambda text: text.rstrip("="))))
@example("YQ==")
@example("YR")
@example("AA")
@example("\ud800")
@example("-_-_")
def test_TI9_a_cursor_has_one_spelling_and_any_other_text_is_none(cursor: str) -> None:
    after = decode_cursor(cursor)
    if after is not None:
        assert base64.urlsafe_b64encode(after.encode()).decode().rstrip("=") == cursor
        assert "\0" not in after


@pytest.mark.timeout(900)
@settings(
    max_examples=ASKED,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.one_of(TEXT, DISGUISED, DISGUISED.map(lambda text: text.rstrip("="))))
@example("0")
@example("' OR 1=1 --")
@example("a" * 8000)
def test_IN7_TI9_whatever_stands_in_a_cursor_a_page_is_ones_own_or_refused(
    tenant: Tenant, other: Tenant, cursor: str
) -> None:
    for mine, theirs in (("alice", "mallory"), ("zoe", "zora")):
        tenant.create(mine)
        other.create(theirs)
    answer = tenant.get("/user", cursor=cursor)
    assert answer.status_code in {200, 400, 414, 422}, answer.text
    if answer.status_code == 200:
        assert {user["login"] for user in answer.json()["users"]} <= {"alice", "zoe"}
    else:
        assert cursor == "a" * 8000 or cursor not in answer.text or len(cursor) < 12
