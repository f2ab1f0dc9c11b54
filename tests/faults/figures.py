"""What was measured on the way, for the reader of a run: printed at its end, never a verdict."""

FIGURES: list[str] = []


def say(sentence: str) -> None:
    FIGURES.append(sentence)
