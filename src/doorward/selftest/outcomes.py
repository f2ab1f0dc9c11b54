"""The two ways in which a check may end other than well."""


class Failed(Exception):
    """It is not as was promised. The message says how, and holds no secret."""


class NotRun(Exception):
    """It could not be tried. The message says why."""


def require(holds: object, sentence: str) -> None:
    """Go on only if it holds; Failed, with the sentence, if it does not."""
    if not holds:
        raise Failed(sentence)
