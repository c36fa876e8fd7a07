"""Templates to one self-contained HTML file: the strict environment, its filters, and the atomic write."""

import base64
import hashlib
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from components.artifacts import write_atomically
from components.report.content import Picture
from components.report.costs import money
from components.report.scores import number, protocol_facts, short_count

_TEMPLATES = Path(__file__).parent / "templates"
_SIGNATURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp", b"<svg": "image/svg+xml"}


def render(template: str, values: Mapping[str, Any], path: Path) -> Path:
    """Write the page that `template` makes of `values` to `path`, whole or not at all, and return `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, rendered(template, values).encode())
    return path


def rendered(template: str, values: Mapping[str, Any]) -> str:
    """Return the page that `template` makes of `values`."""
    return _environment().get_template(template).render(dict(values))


def style() -> str:
    """Return the style sheet that all pages share."""
    return (_TEMPLATES / "style.css").read_text()


def media_type(content: bytes) -> str:
    """Return the media type of an image file's bytes.

    Raises:
        ValueError: They are not a PNG, JPEG, WebP or SVG.
    """
    for start, kind in _SIGNATURES.items():
        if content.startswith(start):
            return kind
    raise ValueError(f"a picture must be a PNG, JPEG, WebP or SVG file; this one begins with {content[:8]!r}")


def data_uri(content: bytes) -> str:
    """Return an image file's bytes as an address that needs no request."""
    return f"data:{media_type(content)};base64,{base64.b64encode(content).decode()}"


def size_px(picture: Picture) -> tuple[int, int] | None:
    """Return width and height of a picture; None for SVG, which has no pixels."""
    if media_type(picture.content) == "image/svg+xml":
        return None
    with Image.open(io.BytesIO(picture.content)) as image:
        return image.size


def breakable(text: str) -> Markup:
    """Return a name, escaped, that a narrow column may break after an underscore."""
    return Markup("_<wbr>").join(text.split("_"))


def utc(moment: datetime) -> str:
    """Return a moment as people write it, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def size(count: float) -> str:
    """Return a number of bytes as people write it: 12 MB, 3.4 GB."""
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def percent(part: float, whole: float) -> str:
    """Return a share in percent, to a tenth; an em dash when the whole is nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "—"


class _Script(NamedTuple):
    """A page's script, and the digest by which its content security policy lets that script alone run."""

    text: Markup
    digest: str

    @classmethod
    def of(cls, path: Path) -> Self:
        text = path.read_text()
        return cls(Markup(text), base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        data_uri=data_uri,
        size=size,
        size_px=size_px,
        utc=utc,
        number=number,
        short_count=short_count,
        breakable=breakable,
        money=money,
        protocol_facts=protocol_facts,
    )
    environment.globals.update(
        percent=percent,
        style=Markup(style()),
        scripts={path.name: _Script.of(path) for path in _TEMPLATES.glob("*.js")},
        words={"promote": "Promoted", "reject": "Rejected", "hold": "Held", "failed": "Failed"},
    )
    return environment
