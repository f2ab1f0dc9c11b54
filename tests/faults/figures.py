"""What was measured on the way, for the reader of a run: printed at its end, never a verdict."""

import pytest

FIGURE = "figure"

_said: list[str] = []
_heard: list[str] = []


def say(sentence: str) -> None:
    """Let the running test say something."""
    _said.append(sentence)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> None:
    # Kept with the test's report, which is what comes out of a process that runs tests beside others.
    if call.when == "call":
        item.user_properties += [(FIGURE, sentence) for sentence in _said]
        _said.clear()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call":
        _heard.extend(figures_of(report))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _heard:
        terminalreporter.section("figures")
        for sentence in _heard:
            terminalreporter.write_line(sentence)


def figures_of(report: pytest.TestReport) -> list[str]:
    """Return what a test said."""
    return [str(said) for name, said in report.user_properties if name == FIGURE]
