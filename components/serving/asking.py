"""Asking: what requests for pictures say, from their bytes to checked values, or a refusal in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from components.pictures.reading import TooManyPixelsError
from components.serving.refusal import Refusal

Seed = Field(default=0, ge=0, lt=1 << 63)
_LONGEST_CLASS = 200
_FIELDS = ("image", "mask")


class Wish(BaseModel):
    """Pictures to be made."""

    model_config = ConfigDict(extra="forbid")

    count: int = Field(default=16, ge=1)
    seed: int = Seed
    of: str | None = Field(default=None, alias="class", max_length=_LONGEST_CLASS)


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


Form = TypeVar("Form", bound=BaseModel)


async def wish(request: Request, most: int) -> Wish:
    """Return what pictures are asked for, at most `most`.

    Raises:
        Refusal: The body is not JSON, or asks for something else.
    """
    asked = _parsed(Wish, await _json(request))
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


async def pictures(request: Request) -> dict[str, bytes]:
    """Return the files of a form, by field: "image" and perhaps "mask".

    Raises:
        Refusal: It is no form, lacks the image, or holds something else.
    """
    _demand_type(request, "multipart/form-data")
    files = {}
    async with request.form(max_files=len(_FIELDS), max_fields=0) as form:
        for name, value in form.multi_items():
            if name not in _FIELDS or name in files or not isinstance(value, UploadFile):
                raise Refusal(422, "expected one file called image and at most one called mask")
            files[name] = await value.read()
    if "image" not in files:
        raise Refusal(422, "expected a file called image")
    return files


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
    _demand_type(request, "application/json")
    return await request.body()


def _demand_type(request: Request, expected: str) -> None:
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found != expected:
        raise Refusal(415, f"expected the content type {expected}")


def _demand_count(found: int, most: int, what: str) -> None:
    if not 1 <= found <= most:
        raise Refusal(422, f"{what}: expected from 1 to {most}, found {found}")


def _parsed(form: type[Form], content: bytes) -> Form:
    try:
        return form.model_validate_json(content)
    except ValidationError as error:
        raise _refusal(error) from error


def _checked(form: type[Form], row: dict[str, Any]) -> Form:
    try:
        return form.model_validate(row)
    except ValidationError as error:
        raise _refusal(error) from error


def _refusal(error: ValidationError) -> Refusal:
    mistake = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, mistake["loc"]))
    return Refusal(422, f"{place}: {mistake['msg']}" if place else mistake["msg"])
