"""Saying: what the page of addresses says of each route that reads its request itself, in the words of OpenAPI."""

from typing import Any, get_args

from components.recipes import RecipeConfig
from components.recipes.recipe import RestorerRecipe
from components.serving import asking

_PICTURE = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    413: {"description": "Too many bytes or pixels; `detail` says how many are taken."},
    422: {"description": "Not understood, or not possible with this model; `detail` says why in one line."},
    429: {"description": "Too many requests at once; `Retry-After` says when to come again."},
    503: {"description": "The model cannot be loaded now, or the work took too long."},
}
_FILE = {"type": "string", "format": "binary"}
_ONE_FILE = {
    "image": {**_FILE, "description": "PNG, JPEG or WebP."},
    "mask": {**_FILE, "description": "What is missing."},
}


def deed(family: str) -> str:
    """Return what models of a family do: "mends" or "makes"; "" for a family of another version of this program."""
    members = get_args(get_args(RecipeConfig)[0])
    deeds = {member.model_fields["kind"].default: _deed(member) for member in members}
    return deeds.get(family, "")


def _deed(member: type) -> str:
    return "mends" if issubclass(member, RestorerRecipe) else "makes"


def _route(summary: str, description: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": summary,
        "description": description,
        "responses": {200: {"description": "The picture.", "content": _PICTURE}, **_REFUSALS},
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
    }


def _form(model: type[asking.Mending] | None = None) -> dict[str, Any]:
    fields = model.model_json_schema()["properties"] if model else {}
    return {"schema": {"type": "object", "required": ["image"], "properties": {**_ONE_FILE, **fields}}}


def _json(model: type[asking.Wish]) -> dict[str, Any]:
    return {"application/json": {"schema": model.model_json_schema(by_alias=True)}}


_MENDED = (
    "Masks are read as by `kintsugi repair`: white where pixels are missing, or coloured, or opaque strokes. A model "
    "that restores everything needs none. With `Accept: application/json` the picture comes as base64."
)
_DRAWN = "One picture, or a sheet of `count`; equal seeds make equal pictures."

REPAIR = _route(
    "Mend a picture",
    f"A form with files, or JSON with both files as base64. {_MENDED}",
    {
        "multipart/form-data": _form(asking.Repair),
        "application/json": {"schema": asking.RepairInJson.model_json_schema()},
    },
)
REPAIR_BY_NAME = _route("Mend a picture with the model of this name", _MENDED, {"multipart/form-data": _form()})
GENERATE = _route("Draw pictures", _DRAWN, _json(asking.Draw))
GENERATE_BY_NAME = _route("Draw pictures with the model of this name", _DRAWN, _json(asking.Wish))
INVOCATIONS: dict[str, Any] = {
    "summary": "Ask the model named by --model, as one asks MLflow's scoring server",
    "description": "`dataframe_records`, `dataframe_split`, `instances` or `inputs`: rows of `image` and `mask`, or of "
    "`seed` and `class`.",
    "responses": _REFUSALS,
    "openapi_extra": {
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    },
}
