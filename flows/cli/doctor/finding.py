"""Finding: what the doctor says of one thing."""

from typing import Literal

from components.section import Section


class Finding(Section):
    """One thing that was looked at."""

    what: str
    state: Literal["ok", "note", "problem"]
    found: str
    advice: str = ""
