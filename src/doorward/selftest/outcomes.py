"""Exceptions with which a check of the self-test ends early."""


class Failed(Exception):
    """The service broke a promise. The message says how and contains no secret."""


class NotRun(Exception):
    """The check could not run. The message says why."""


def require(holds: object, sentence: str) -> None:
    """Raise Failed with the sentence unless the condition holds."""
    if not holds:
        raise Failed(sentence)
