"""Section: the frozen, strict base of every config section and every record that stages hand over."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Section(BaseModel):
    """A frozen record that refuses unknown keys, so that a misspelt option is an error and not a no-op.

    A section whose `kind` is a Literal can be named in a file, and must have all that its abstract bases ask for.

    The text under a field says what it means; `config/fields.py` reads it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def __pydantic_init_subclass__(cls, **_options: Any) -> None:  # noqa: ANN401 - pydantic's signature
        """Refuse a class that leaves out what its contract asks for, when its module is imported and not when used.

        Raises:
            TypeError: It can be named in a file, and a member is still abstract.
        """
        super().__pydantic_init_subclass__(**_options)
        missing = sorted(getattr(cls, "__abstractmethods__", ()))
        kind = cls.model_fields.get("kind")
        if missing and kind is not None and get_origin(kind.annotation) is Literal:
            raise TypeError(f"{cls.__module__}.{cls.__qualname__} lacks {', '.join(missing)}, which its base asks for")


class Grown(Section):
    """A section that has got fields since files were written: at their defaults these are left out of the dump.

    So the digests of configurations from before stay as they were.
    """

    ADDED: ClassVar[frozenset[str]]
    """Names of the fields that came later."""

    @model_serializer(mode="wrap")
    def _without_added_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        dumped = handler(self)
        return {
            name: value
            for name, value in dumped.items()
            if name not in self.ADDED or getattr(self, name) != fields[name].get_default(call_default_factory=True)
        }


def kinds(union: Any) -> tuple[type[Section], ...]:  # noqa: ANN401 - a type expression has no type of its own
    """Return the member classes of a discriminated union `Annotated[A | B, Field(discriminator=...)]`."""
    inner = get_args(union)[0]
    return get_args(inner) or (inner,)


def canonical_json(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return the one JSON text of `value`: sorted keys, no spaces, sections dumped, no NaN.

    Raises:
        ValueError: `value` holds a NaN or an infinity.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def digest_of(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return 20 hexadecimal digits of the sha256 of `value`'s canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()[:20]


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    return value
