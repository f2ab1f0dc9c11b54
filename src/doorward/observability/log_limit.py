"""Rate limit of log lines that clients can provoke."""

from dataclasses import dataclass, field
from time import monotonic


@dataclass(slots=True)
class LogLimit:
    """At most one log line per topic in `seconds`.

    Topics are constants of the code, so that their number is small.
    """

    seconds: float = 600.0
    _due: dict[str, float] = field(default_factory=dict)

    def permits(self, topic: str) -> bool:
        """Return whether a line of this topic may be logged now; if so, the next one has to wait."""
        now = monotonic()
        if now < self._due.get(topic, now):
            return False
        self._due[topic] = now + self.seconds
        return True
