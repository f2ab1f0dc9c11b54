"""Random requests: every response is documented, repeats no input, and is no server error."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import doorward
from doorward.http.api.reference.openapi import describe
from harness import Service, Tenant

DOCUMENT = json.loads(describe().document)
OPERATIONS: list[Any] = [
    found.ok()  # type: ignore[union-attr]
    for found in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()
]
# What takes nothing cannot be given anything wrong. Wrong data is refused before a store is asked.
CASES = [
    pytest.param(
        operation,
        mode,
        id=f"{operation.label}, {mode.value} data",
        marks=[pytest.mark.one_setup] if mode is GenerationMode.NEGATIVE else [],
    )
    for operation in OPERATIONS
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or operation.body or operation.query or operation.path_parameters
]
EACH = (10_000 if os.environ.get("DOORWARD_TORTURE") else 200) // len(CASES) + 1
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_TELLING = 8
"""Characters from which on a text that comes back is no coincidence, unless it is one of our own words."""
OURS = "".join(file.read_text(encoding="utf-8") for file in Path(doorward.__file__).parent.rglob("*.py"))


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)


@pytest.mark.parametrize(("operation", "mode"), CASES)
@pytest.mark.filterwarnings("ignore")
def test_IN11_no_request_is_answered_with_a_fault_or_undescribed_or_echoed(
    shared: Service, tenant: Tenant, operation: Any, mode: GenerationMode
) -> None:
    @hypothesis.settings(
        max_examples=EACH,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        answer = case.call_and_validate(base_url=shared.url, headers=tenant.headers, checks=CHECKS)
        if answer.status_code >= 400:
            sent = [*texts(case.body), *texts(dict(case.query or {}))]
            assert not [text for text in sent if len(text) >= _TELLING and text in answer.text and text not in OURS]

    ask()
