"""The pages have no command that the walks left out; runs after them."""

import pytest

from image.machine import Machine
from image.walking import COMPOSE_PAGE, IMAGE_PAGE, blocks, walked

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(1800)]


def test_every_command_of_the_pages_was_run(engine: Machine) -> None:
    assert engine.pid
    written = [*blocks(IMAGE_PAGE, "sh"), *blocks(COMPOSE_PAGE, "sh"), *blocks(COMPOSE_PAGE, "yaml")]
    assert len(written) > 10
    assert [text for text in written if text not in walked] == []
