"""The manifest of an evidence pack: what was audited, with which settings, and the SHA-256 of every other file."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from muc_core.audit.audit import AuditSettings
from muc_core.encoders.manifest import EncoderManifest, Moment, Settings, explain
from muc_core.errors import MucError
from muc_core.similarity import Similarity

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
PUBLIC_KEY, RESULT, VECTORS = "public-key.pem", "result.json", "vectors.safetensors"
REPORT, REPORT_PDF = "report.html", "report.pdf"
DIGESTED = (PUBLIC_KEY, RESULT, VECTORS, REPORT, REPORT_PDF)
FILES = (MANIFEST, SIGNATURE, *DIGESTED)
"""All files of a pack, in their order."""

MOST_ITEMS = 20_000
MOST_PAIRS = 25 * 10**6
"""Pictures times controls, at most: each is compared with each."""

MOST_WORK = 10**9
"""Items times permutations, at most: what a stranger's pack can ask for must end."""

Role = Literal["before", "after", "retrained"]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Picture(_Part):
    """A picture by its id and the salted digest of its pixels (`evidence.pictures`)."""

    id: str
    digest: Digest


class Origin(_Part):
    """How an encoder came to be, as its own record says: the word of whoever made it, which no audit can check.

    Attributes:
        method: the unlearning method; None for an original encoder.
        original: name of the encoder it was made from.
        created: when it was made.
        settings, seeds: of the method.
        asked_to_forget: how many pictures its record lists as those to be forgotten; None when it lists none.
        source: where an encoder from elsewhere came from, a sentence.
    """

    method: str | None
    original: str | None
    created: Moment
    settings: Settings
    seeds: dict[str, int]
    asked_to_forget: int | None
    source: str | None


class EncoderIdentity(_Part):
    """Which encoder was asked.

    Attributes:
        name: where the audit was made.
        digest: of its weights and preparation.
        origin: None when nothing is known of it.
    """

    name: str
    digest: str
    origin: Origin | None = None

    @staticmethod
    def of(manifest: EncoderManifest) -> "EncoderIdentity":
        """An encoder by its manifest."""
        origin = Origin(
            method=manifest.method,
            original=manifest.original,
            created=manifest.created,
            settings=manifest.settings,
            seeds=manifest.seeds,
            asked_to_forget=len(manifest.data.split.forget) if manifest.data and manifest.data.split.forget else None,
            source=manifest.source,
        )
        return EncoderIdentity(name=manifest.name, digest=manifest.content_digest, origin=origin)


class Statement(_Part):
    """What was audited and how: all that a pack says besides the result, the vectors, and what is signed.

    Attributes:
        title: what was asked.
        settings: of the tests, with their seed, which is that of the views, too.
        versions: of the programs that computed.
        salt: of the pictures' digests.
        owner, controls: the pictures, in the order of the vectors.
        similarities: by what the vectors of an encoder are compared, where it is not cosine.
        merkle_root: over the digests of both.
        warnings: what was known of the pictures before the statistics.
        not_recomputed: parts of the result that need encoders or pictures, and so cannot be computed from the vectors.
    """

    schema_version: Literal[2] = 2
    title: str
    created: Moment
    settings: AuditSettings
    versions: dict[str, str]
    encoders: dict[Role, EncoderIdentity]
    salt: Digest
    owner: tuple[Picture, ...]
    controls: tuple[Picture, ...]
    similarities: dict[Role, Similarity] = Field(default_factory=dict)
    merkle_root: Digest
    warnings: tuple[str, ...]
    not_recomputed: tuple[str, ...] = ("checks", "collateral")

    @model_validator(mode="after")
    def _can_be_checked(self) -> "Statement":
        check_size(len(self.owner), len(self.controls), self.settings)
        if "after" not in self.encoders:
            raise ValueError("the encoder after is not named")
        return self


class Manifest(Statement):
    """What the signature stands for: the statement, and the SHA-256 of every other file but the signature.

    Attributes:
        report_form: changes whenever the same audit would be reported in other bytes; see `pack.Reports`.
    """

    report_form: Digest
    files: dict[str, Digest]

    @model_validator(mode="after")
    def _names_every_file(self) -> "Manifest":
        if set(self.files) != set(DIGESTED):
            raise ValueError(f"files must be {', '.join(DIGESTED)}")
        return self


def check_size(pictures: int, controls: int, settings: AuditSettings, *, of: str = "an evidence pack") -> None:
    """Raises `MucError` for more than a file from anyone may hold."""
    items = pictures + controls
    if items > MOST_ITEMS or pictures * controls > MOST_PAIRS:
        raise MucError(
            f"{pictures:,} pictures and {controls:,} controls are more than {of} holds; up to "
            f"{MOST_ITEMS:,}, and {MOST_PAIRS:,} pairs of both, are accepted: take fewer controls"
        )
    if items * settings.permutations > MOST_WORK:
        raise MucError(
            f"{settings.permutations:,} permutations of {items:,} pictures and controls are more than {of} "
            f"holds; up to {MOST_WORK // items:,} are accepted"
        )


def read_manifest(content: bytes) -> Manifest:
    """The manifest of its JSON. Raises `MucError` naming the first faults."""
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise MucError(f"{MANIFEST} is not the manifest of an evidence pack: {explain(error)[:500]}") from error
