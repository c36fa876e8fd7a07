"""Model versions as MLflow keeps them: which tags say what, how they are found, how scores are attached."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from pydantic import TypeAdapter, ValidationError

from components.section import canonical_json
from components.servers.redaction import redact, redact_text
from components.tracking.cards import FACT, HEADLINE, PICTURE, SCORES, headline, score_rows
from components.tracking.client import MlflowClient, mlflow, patiently
from components.tracking.ledger import in_brief
from components.tracking.packaging import DIGEST_TAG, FILES_TAG, AlteredModelError, Export, Package

DUPLICATE_OF = "kintsugi.duplicate_of"

_VERDICT = "gate.verdict"
_REASONS = "gate.reasons"
_JUDGED_AGAINST = "gate.judged_against"
_DECIDED_AT = "gate.decided_at"
SAW_FORGOTTEN = "saw_forgotten"
"""Name of the fact that says which images of those a version learnt from are forgotten, and why."""
FORGOTTEN_AT = "kintsugi.forgotten_at"
"""The tag that holds when an image that a version learnt from was last forgotten, UTC, ISO 8601."""

_FAMILY = "kintsugi.family"
_LINEAGE = "lineage."
_SCORE = "score."
_TABLE_FILE = "kintsugi.score_table"
_TABLE_SHA256 = "kintsugi.score_table_sha256"
_PAGE = 1000
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_FILES = TypeAdapter(dict[str, str])


@dataclass(frozen=True)
class KeptDecision:
    """What the gate decided about a version."""

    verdict: str
    """promote, reject or hold."""
    reasons: tuple[str, ...]
    """Why, in words with numbers."""
    judged_against: int | None
    """The champion it was compared with; None if there was none."""
    at: str = field(default="", compare=False)
    """UTC time, ISO 8601; empty before it is written."""

    @property
    def brief(self) -> str:
        """It in one line that a ledger's entry has room for."""
        return in_brief([f"{self.verdict}: {self.reasons[0]}", *self.reasons[1:]] if self.reasons else [self.verdict])


@dataclass(frozen=True)
class VersionScores:
    """How good a version is, as it is shown with it."""

    values: Mapping[str, float] = field(default_factory=dict)
    """Single values by name; those that are not finite are left out."""
    table: str | None = None
    """The whole table with its protocols, as JSON text."""
    metric: str | None = None
    """The score that decides, shown first in the version's description."""
    picture: str = ""
    """Path, among the files of the version's run, of a picture of what it makes; empty for none."""


@dataclass(frozen=True)
class Version:
    """One registered export."""

    name: str
    number: int
    model_id: str
    run_id: str
    tags: Mapping[str, str]
    description: str = ""
    created_s: float = 0.0
    """When it was registered, in seconds since 1970."""

    @classmethod
    def of(cls, kept: mlflow.entities.model_registry.ModelVersion) -> Self:
        """Return what MLflow keeps as a version."""
        model_id = str(kept.source).removeprefix("models:/")
        return cls(
            kept.name,
            int(kept.version),
            model_id,
            kept.run_id or "",
            dict(kept.tags),
            kept.description or "",
            (kept.creation_timestamp or 0) / 1000,
        )

    @property
    def is_ours(self) -> bool:
        """Whether it bears the tags that every version registered by this program has."""
        return DIGEST_TAG in self.tags and FILES_TAG in self.tags

    @property
    def export_digest(self) -> str:
        """Identity of the export."""
        return self.tags[DIGEST_TAG]

    @property
    def family(self) -> str:
        """Kind of the recipe that made it."""
        return self.tags.get(_FAMILY, "")

    @property
    def files(self) -> dict[str, str]:
        """sha256 of every file of the stored model, by relative path.

        Raises:
            AlteredModelError: The tag that holds them is not readable.
        """
        try:
            return _FILES.validate_json(self.tags[FILES_TAG])
        except ValidationError as error:
            raise AlteredModelError(f"{self.name} {self.number}: its tag {FILES_TAG} is not readable") from error

    @property
    def lineage(self) -> dict[str, str]:
        """Digests of what the version was made from."""
        return _under(_LINEAGE, self.tags)

    @property
    def facts(self) -> dict[str, str]:
        """What else is worth saying of it, such as the number of images, by name."""
        return _under(FACT, self.tags)

    @property
    def scores(self) -> dict[str, float]:
        """Its scores, by name."""
        return {name: float(value) for name, value in _under(_SCORE, self.tags).items()}

    @property
    def decision(self) -> KeptDecision | None:
        """The last decision about it; None before the first."""
        if _VERDICT not in self.tags:
            return None
        reasons, against = json.loads(self.tags.get(_REASONS, "[]")), self.tags.get(_JUDGED_AGAINST)
        at = self.tags.get(_DECIDED_AT, "")
        return KeptDecision(self.tags[_VERDICT], tuple(reasons), int(against) if against else None, at)


def demand_plain(what: str, text: str) -> None:
    """Raise ValueError unless `text` can be quoted in a query and be part of a path."""
    if not is_plain(text):
        raise ValueError(f"{what} {text!r}: expected letters, digits, _ and - only")


def is_plain(text: str) -> bool:
    """Return whether `text` can be quoted in a query and be part of a path."""
    return _PLAIN.fullmatch(text) is not None


def all_versions(client: MlflowClient, name: str) -> list[Version]:
    """Return the versions of a model, those of others too, but not second registrations of one export."""
    return [version for version in _search(client, f"name = '{name}'") if DUPLICATE_OF not in version.tags]


def read_version(client: MlflowClient, name: str, number: int) -> Version:
    """Return one version.

    Raises:
        ValueError: There is none of this number, or it was not registered by this program.
    """
    found = all_versions(client, name)
    ours = {version.number: version for version in found if version.is_ours}
    return one_of(name, ours, frozenset(version.number for version in found) - ours.keys(), number)


def one_of(name: str, ours: Mapping[int, Version], strangers: Collection[int], number: int) -> Version:
    """Return version `number` of those of ours.

    Raises:
        ValueError: There is none, or it is one of the strangers: registered by hand, or robbed of its tags.
    """
    if number in strangers:
        raise ValueError(f"{name} version {number} was not registered by kintsugi, and is not used")
    if number not in ours:
        raise ValueError(f"{name} has no version {number}; there are: {', '.join(map(str, sorted(ours))) or 'none'}")
    return ours[number]


def first_of_digest(client: MlflowClient, name: str, export_digest: str) -> Version | None:
    """Return the lowest version of this export; the others, left by registrations at the same time, are marked."""
    same = _search(client, f"name = '{name}' and tags.`{DIGEST_TAG}` = '{export_digest}'")
    first = min(same, key=lambda version: version.number, default=None)
    for version in same:
        if first is not None and version != first and DUPLICATE_OF not in version.tags:
            client.set_model_version_tag(name, str(version.number), DUPLICATE_OF, str(first.number))
    return first


def create_version(
    client: MlflowClient, name: str, package: Package, export: Export, lineage: Mapping[str, str], run_id: str
) -> None:
    """Create a version with its lineage and files in one step, so that none is ever seen without them."""
    tags = {DIGEST_TAG: export.digest, _FAMILY: export.family, FILES_TAG: canonical_json(package.files).decode()}
    tags |= {f"{_LINEAGE}{part}": redact(part, value) for part, value in lineage.items()}
    client.create_model_version(
        name, source=f"models:/{package.model_id}", run_id=run_id, tags=tags, model_id=package.model_id
    )


def attach_decision(client: MlflowClient, version: Version, decision: KeptDecision) -> None:
    """Write the gate's decision to a version; the verdict last, so that none is read without its reasons."""
    against = "" if decision.judged_against is None else str(decision.judged_against)
    tags = {
        _REASONS: json.dumps([redact_text(reason) for reason in decision.reasons], ensure_ascii=False),
        _JUDGED_AGAINST: against,
        _DECIDED_AT: datetime.now(UTC).isoformat(timespec="milliseconds"),
        _VERDICT: decision.verdict,
    }
    set_version_tags(client, version, tags)


def attach_scores(client: MlflowClient, version: Version, scores: VersionScores) -> None:
    """Attach scores to a version: single values as tags, the whole table as a file of its run with its sha256."""
    tags = {f"{_SCORE}{name}": repr(float(value)) for name, value in scores.values.items() if math.isfinite(value)}
    if scores.table is not None:
        digest = _sha256(scores.table)
        file = f"scores/{version.name}-{digest[:20]}.json"
        client.log_text(version.run_id, scores.table, file)
        tags |= {_TABLE_FILE: file, _TABLE_SHA256: digest}
        tags |= {
            HEADLINE: headline(scores.table, scores.metric),
            SCORES: score_rows(scores.table, scores.metric),
        }
    if scores.picture:
        tags[PICTURE] = scores.picture
    set_version_tags(client, version, tags)


def read_score_table(version: Version) -> str | None:
    """Return the JSON text of the version's score table, or None if it has none.

    Raises:
        AlteredModelError: The file is not the one that was attached.
    """
    file = version.tags.get(_TABLE_FILE)
    if file is None:
        return None
    try:
        table: str = patiently(lambda: mlflow.artifacts.load_text(f"runs:/{version.run_id}/{file}"))
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise AlteredModelError(f"{version.name} {version.number}: its score table {file} is missing") from error
    if _sha256(table) != version.tags[_TABLE_SHA256]:
        raise AlteredModelError(f"{version.name} {version.number}: its score table {file} was altered")
    return table


def set_version_tags(client: MlflowClient, version: Version, tags: Mapping[str, str]) -> None:
    """Set those tags of a version that differ from what was read."""
    for key, value in tags.items():
        if version.tags.get(key) != value:
            client.set_model_version_tag(version.name, str(version.number), key, value)


def _search(client: MlflowClient, condition: str) -> list[Version]:
    found, token = [], None
    while True:
        page = client.search_model_versions(condition, max_results=_PAGE, page_token=token)
        found += [Version.of(kept) for kept in page]
        token = page.token
        if not token:
            return found


def _under(prefix: str, tags: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in sorted(tags.items()) if key.startswith(prefix)}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
