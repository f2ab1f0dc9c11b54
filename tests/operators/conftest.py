import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Service
from operators.desk import Operator


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Put the logging of the test run back after a command that set up its own."""
    root = logging.getLogger()
    handlers, level, raising = list(root.handlers), root.level, logging.raiseExceptions
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raising


@pytest.fixture
def operator(shared: Service, store: dict[str, str], module_folder: Path) -> Operator:
    """The operator of the shared service, which runs meanwhile."""
    assert shared.url
    return Operator(module_folder, store)
