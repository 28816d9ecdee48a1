"""JSON Schemas of what is in an evidence pack, for programs that read it without this library.

python -m muc_core.evidence.schemas docs/schemas   writes them anew
"""

import json
import sys
from pathlib import Path

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from muc_core.audit.result import AuditResult
from muc_core.evidence.manifest import Manifest

DIALECT = "https://json-schema.org/draft/2020-12/schema"

SCHEMAS: dict[str, type[BaseModel]] = {
    "audit-result.schema.json": AuditResult,
    "evidence-manifest.schema.json": Manifest,
}
"""Models by the file of their schema: `result.json` (and `muc audit --out`), and `manifest.json`."""


class _AsWritten(GenerateJsonSchema):
    """A number without bounds may be infinite or not a number; JSON has no word for it, so it is written as text."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        found = super().float_schema(schema)
        if found != {"type": "number"}:
            return found
        return {"anyOf": [found, {"enum": ["Infinity", "-Infinity", "NaN"]}]}


def schema_of(file: str) -> str:
    """The text of a file of `SCHEMAS`."""
    found = SCHEMAS[file].model_json_schema(mode="serialization", schema_generator=_AsWritten)
    return json.dumps({"$schema": DIALECT, **found}, indent=1, ensure_ascii=False) + "\n"


def write_schemas(folder: Path) -> None:
    """Write all files of `SCHEMAS`."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in SCHEMAS:
        (folder / file).write_text(schema_of(file), encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
