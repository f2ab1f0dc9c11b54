"""Checks and findings of the self-test, and the promises that they cover."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from doorward.selftest.fixture import Fixture

PROMISES: Mapping[str, str] = {
    "TI1": "At every endpoint another tenant's object is answered like one that does not exist, and nothing of it "
    "changes.",
    "TI2": "A tenant neither recognises nor ends the session of another's user.",
    "TI3": "The same login, e-mail, device or subject in two tenants has nothing to do with one another.",
    "TI4": "Identifiers made to look like keys, patterns or paths reach nobody else's data.",
    "TI5": "A tenant that is named anywhere but in the credential counts for nothing.",
    "TI6": "What a body may not set, it does not set.",
    "TI8": "A flood of one tenant's requests, or of a stranger's, with hashes of any cost, leaves the other tenants "
    "their share.",
    "TI9": "A cursor or an id of another tenant is of no use.",
    "TK1": "HS256 is the only algorithm; a token can ask for no other, and for none.",
    "TK3": "Nothing in a token names, carries or fetches the key it is checked with.",
    "TK4": "One token is one string: any other spelling of it is refused.",
    "TK5": "Every class of fault that published signature vectors probe is refused, and valid forms are accepted.",
    "TK6": "A token of one kind, issuer or audience is refused wherever another is asked for.",
    "TK7": "Time claims are seconds, true, bounded, and no later than their session; senseless ones are refused.",
    "TK9": "A token longer than 8 kB is refused unread.",
    "TK13": "A logged-out token is dead at once; a second logout is told so and is no fault.",
    "TK14": "A changed password, a disabled or deleted user and a disabled tenant end every session they concern, at "
    "once.",
    "TK18": "A refresh token is good once; its reuse ends the session, save a retry of the last one within seconds.",
    "PW9": "A change needs the current password; a reset code is good once, for ten minutes, and kept as a digest.",
    "PW10": "No answer, whoever asks, holds a hash unless a permission for exactly that was given.",
    "EN4": "A taken address is told only to who may register, and a registration takes nothing over.",
    "BF5": "Every door that looks at a secret counts on the same count; a proven session has its own.",
    "IN1": "A body of more than 16 kB is refused, whether it says its length or not.",
    "IN2": "JSON that is malformed, ambiguous, too deep or not UTF-8 is refused without a fault.",
    "IN3": "A value of the wrong type is refused by the name of its field, never by its value.",
    "IN4": "Only JSON in UTF-8, and uncompressed, is read.",
    "IN10": "A parameter that is given twice is refused.",
    "IN11": "Whatever is sent, the answer is one that is described, no fault, and repeats nothing.",
    "TR4": "Other methods are refused with those that are there; HEAD and OPTIONS change nothing.",
    "TR5": "Every answer, also to what failed, has the security headers.",
    "TR6": "Pages of other origins are refused unless they are listed, letter by letter.",
    "TR11": "A token in a URL is refused.",
    "DU5": "Once a revocation was acknowledged, or anybody heard no, no worker says yes to a later question.",
    "PR2": "Nothing of a deleted tenant is left, save that one of its id was deleted.",
}
"""The promises that the self-test covers, with the text of the published page."""


class State(StrEnum):
    """Result of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_TRIED = "not tried"


class Finding(NamedTuple):
    """Result of a check, with the reason if it did not pass, or the figures that it measured if it did."""

    check: str
    promises: tuple[str, ...]
    state: State
    why: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `run` raises Failed or NotRun, or returns figures. The first promise is the main one.

    `harmless` checks only read and run first; if one of them fails, the isolation of tenants is in doubt. `load` checks
    load the service for a second or two.
    """

    name: str
    promises: tuple[str, ...]
    run: Callable[[Fixture], str | None]
    harmless: bool = False
    load: bool = False
