"""Rate limit of log lines that clients can provoke."""

from dataclasses import dataclass, field
from time import monotonic


@dataclass(slots=True)
class LogLimit:
    """Limit of one log line per topic in `seconds`.

    Topics are constants of the code, so that their number is small.
    """

    seconds: float = 600.0
    _next_at: dict[str, float] = field(default_factory=dict)

    def permits(self, topic: str) -> bool:
        """Return whether a line of this topic may be logged now, and count it if so."""
        now = monotonic()
        if now < self._next_at.get(topic, now):
            return False
        self._next_at[topic] = now + self.seconds
        return True
