"""The published JSON Schemas: those of the models, and true of what is written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from muc_core.audit.result import Collateral, GroupChange, Interval
from muc_core.evidence.container import read_container
from muc_core.evidence.manifest import EncoderIdentity, Manifest, Origin
from muc_core.evidence.schemas import SCHEMAS, schema_of
from tests.unit.evidence.pack import inputs, pack

PUBLISHED = Path(__file__).parents[3] / "docs" / "schemas"


def validator(file: str) -> Draft202012Validator:
    schema = json.loads((PUBLISHED / file).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


RESULT, MANIFEST = validator("audit-result.schema.json"), validator("evidence-manifest.schema.json")


@pytest.mark.parametrize("file", SCHEMAS)
def test_the_published_schema_is_that_of_the_model(file: str) -> None:
    text = (PUBLISHED / file).read_text(encoding="utf-8")
    assert text == schema_of(file), "write them anew: python -m muc_core.evidence.schemas docs/schemas"
    assert sorted(path.name for path in PUBLISHED.iterdir()) == sorted(SCHEMAS)


def test_what_is_in_a_pack_validates() -> None:
    files = read_container(pack()).files
    RESULT.validate(json.loads(files["result.json"]))
    MANIFEST.validate(json.loads(files["manifest.json"]))
    RESULT.validate(json.loads(inputs("two-view").result().model_dump_json()))


def test_every_part_of_a_result_and_of_a_manifest_validates() -> None:
    interval = Interval(value=float("nan"), low=float("-inf"), high=float("inf"))
    group = GroupChange(group="controls", count=3, lost=interval, down=None, up=None, meaning="Nothing.")
    collateral = Collateral(groups=(group,), items=(), classes=(), texts=(), compared={"items": 3})
    whole = inputs().result().model_copy(update={"collateral": collateral})
    RESULT.validate(json.loads(whole.model_dump_json()))
    origin = Origin(
        method="ac",
        original="theirs",
        created="2026-01-01T00:00:00.000+00:00",
        settings={"epochs": 3, "nested": {"a": [1, None]}},
        seeds={"order": 1},
        asked_to_forget=None,
        source=None,
    )
    manifest = Manifest.model_validate_json(read_container(pack()).files["manifest.json"])
    who = {"after": EncoderIdentity(name="mine", digest="d", origin=origin)}
    MANIFEST.validate(json.loads(manifest.model_copy(update={"encoders": who}).model_dump_json()))


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda told: told.pop("verdict"), "audit-result"),
        (lambda told: told.update(verdict="gone"), "audit-result"),
        (lambda told: told.update(surprise=1), "audit-result"),
        (lambda told: told["findings"]["trace"].update(p="small"), "audit-result"),
        (lambda told: told.pop("files"), "evidence-manifest"),
        (lambda told: told.update(schema_version=1), "evidence-manifest"),
        (lambda told: told["owner"][0].update(digest="xyz"), "evidence-manifest"),
        (lambda told: told["settings"].update(alpha=0.5), "evidence-manifest"),
    ],
)
def test_what_is_something_else_does_not(change: Callable[[dict[str, Any]], object], check: str) -> None:
    file, against = ("result.json", RESULT) if check == "audit-result" else ("manifest.json", MANIFEST)
    told = json.loads(read_container(pack()).files[file])
    change(told)
    assert not against.is_valid(told)
