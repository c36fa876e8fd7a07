"""Asking: what requests for pictures say, from their bytes to checked values, or a refusal in words."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from components.pictures.masks import Meaning
from components.pictures.reading import TooManyPixelsError
from components.serving.refusal import Refusal

Seed = Field(default=0, ge=0, lt=1 << 63)
_LONGEST_CLASS = 200
_FILES = ("image", "mask")
_LONGEST_NAME = 200
_MOST_FIELDS = 8
_MULTIPART, _JSON = "multipart/form-data", "application/json"

Pictures = dict[str, bytes]
"""Files of a request: "image", and perhaps "mask"."""


class Mending(BaseModel):
    """How a picture is to be mended."""

    model_config = ConfigDict(extra="forbid")

    mask_is: Meaning | None = None
    """What marks a missing pixel; None finds out."""
    grow: float = Field(default=0, ge=0, allow_inf_nan=False)
    """By how many pixels the missing parts grow on all sides."""
    format: Literal["png", "jpeg", "webp"] = "png"
    """Of the answer. PNG and WebP keep every pixel that was not missing; JPEG is coded as the picture was."""
    version: int | None = Field(default=None, ge=1)
    """Of the model; None takes the one in service."""


class Repair(Mending):
    """How a picture is to be mended, and by what."""

    model: str = Field(default="inpainter", max_length=_LONGEST_NAME)
    """Registered name, or the last part of it."""


class RepairInJson(Repair):
    """The same, with the files."""

    image: str
    """Base64 text of a PNG, JPEG or WebP file."""
    mask: str | None = None


class Wish(BaseModel):
    """Pictures to be made."""

    model_config = ConfigDict(extra="forbid")

    count: int = Field(default=16, ge=1)
    seed: int = Seed
    of: str | None = Field(default=None, alias="class", max_length=_LONGEST_CLASS)
    version: int | None = Field(default=None, ge=1)
    """Of the model; None takes the one in service."""


class Draw(Wish):
    """Pictures to be made, and by what."""

    model: str = Field(default="gan", max_length=_LONGEST_NAME)
    """Registered name, or the last part of it."""


class _Split(BaseModel):
    columns: list[str]
    data: list[list[Any]]


class _Invocation(BaseModel):
    """MLflow's ways to write a table; exactly one is used."""

    dataframe_records: list[dict[str, Any]] | None = None
    dataframe_split: _Split | None = None
    instances: list[dict[str, Any]] | None = None
    inputs: dict[str, list[Any]] | None = None

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the table."""
        if self.dataframe_split is not None:
            columns = self.dataframe_split.columns
            return [dict(zip(columns, row, strict=False)) for row in self.dataframe_split.data]
        if self.inputs is not None:
            longest = max(map(len, self.inputs.values()), default=0)
            return [
                {name: values[place] for name, values in self.inputs.items() if place < len(values)}
                for place in range(longest)
            ]
        return self.dataframe_records if self.dataframe_records is not None else self.instances or []


class _SeedRow(BaseModel):
    seed: int = Field(ge=0, lt=1 << 63)
    of: str | None = Field(default=None, alias="class", max_length=_LONGEST_CLASS)


class _PictureRow(BaseModel):
    image: str
    mask: str | None = None


Form = TypeVar("Form", bound=Wish)
Parsed = TypeVar("Parsed", bound=BaseModel)


async def wish(request: Request, form: type[Form], most: int) -> Form:
    """Return which pictures are asked for, at most `most`, as a Wish or a Draw.

    Raises:
        Refusal: The body is not JSON, or asks for something else.
    """
    asked = _parsed(form, await _json(request))
    _demand_count(asked.count, most, "count")
    return asked


async def table(request: Request, most: int, *, mends: bool) -> pd.DataFrame:
    """Return the rows sent to MLflow's interface, at most `most`: of `image` and `mask`, or of `seed` and `class`.

    Raises:
        Refusal: The body is not JSON, or holds no such rows.
    """
    rows = _parsed(_Invocation, await _json(request)).rows()
    _demand_count(len(rows), most, "rows")
    kind: type[BaseModel] = _PictureRow if mends else _SeedRow
    return pd.DataFrame([_checked(kind, row).model_dump(by_alias=True) for row in rows])


async def pictures(request: Request) -> Pictures:
    """Return the files of a form that holds nothing else.

    Raises:
        Refusal: It is no form, lacks the image, or holds something else.
    """
    files, fields = await _form(request)
    if fields:
        raise Refusal(422, "expected one file called image and at most one called mask")
    return files


async def repair(request: Request) -> tuple[Pictures, Repair]:
    """Return the files of a form or of JSON, and how they are to be mended; a form's address may say that, too.

    Raises:
        Refusal: It is neither, lacks the image, or asks for something else.
    """
    if _type_of(request) == _JSON:
        asked = _parsed(RepairInJson, await request.body())
        files = {name: text for name in _FILES if (text := getattr(asked, name)) is not None}
        return {name: _decoded(text, name) for name, text in files.items()}, asked
    if _type_of(request) != _MULTIPART:
        raise Refusal(415, f"expected the content type {_MULTIPART} or {_JSON}")
    uploaded, fields = await _form(request)
    return uploaded, _checked(Repair, {**request.query_params, **fields})


async def _form(request: Request) -> tuple[Pictures, dict[str, str]]:
    _demand_type(request, _MULTIPART)
    files: Pictures = {}
    fields: dict[str, str] = {}
    async with request.form(max_files=len(_FILES), max_fields=_MOST_FIELDS) as form:
        for name, value in form.multi_items():
            if name in files or name in fields:
                raise Refusal(
                    422,
                    f"{name[:_LONGEST_NAME]}: given twice; expected one file called image and at most one called mask",
                )
            if isinstance(value, UploadFile) and name in _FILES:
                files[name] = await value.read()
            elif isinstance(value, str) and name not in _FILES:
                fields[name] = value
            else:
                raise Refusal(422, "expected one file called image and at most one called mask")
    if "image" not in files:
        raise Refusal(422, "expected a file called image")
    return files, fields


@contextmanager
def in_words() -> Iterator[None]:
    """Turn what readers and producers say of a request into a refusal."""
    try:
        yield
    except TooManyPixelsError as error:
        raise Refusal(413, str(error)) from error
    except ValueError as error:
        raise Refusal(422, str(error)) from error


async def _json(request: Request) -> bytes:
    _demand_type(request, _JSON)
    return await request.body()


def _decoded(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refusal(422, f"{name}: expected the base64 text of an image file ({error})") from error


def _type_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _demand_type(request: Request, expected: str) -> None:
    if _type_of(request) != expected:
        raise Refusal(415, f"expected the content type {expected}")


def _demand_count(found: int, most: int, what: str) -> None:
    if not 1 <= found <= most:
        raise Refusal(422, f"{what}: expected from 1 to {most}, found {found}")


def _parsed(form: type[Parsed], content: bytes) -> Parsed:
    try:
        return form.model_validate_json(content)
    except ValidationError as error:
        raise _refusal(error) from error


def _checked(form: type[Parsed], row: dict[str, Any]) -> Parsed:
    try:
        return form.model_validate(row)
    except ValidationError as error:
        raise _refusal(error) from error


def _refusal(error: ValidationError) -> Refusal:
    mistake = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, mistake["loc"]))
    return Refusal(422, f"{place}: {mistake['msg']}" if place else mistake["msg"])
