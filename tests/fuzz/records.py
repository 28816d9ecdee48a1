"""Records as JSON, evidence, keys and vectors: what a workspace from elsewhere or a pack of a stranger holds."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from pydantic import JsonValue

import muc_core.unlearning.methods  # noqa: F401  (registers them)
from muc_core.audit.result import AuditResult
from muc_core.encoders.manifest import AuditManifest, DataReference, EncoderManifest, RunManifest
from muc_core.encoders.remote.settings import RemoteSettings, read_settings
from muc_core.errors import MucError
from muc_core.evidence.container import read_container
from muc_core.evidence.embeddings import read_embeddings
from muc_core.evidence.keys import read_private_key, read_public_key, write_private_key, write_public_key
from muc_core.evidence.manifest import Manifest
from muc_core.evidence.pack import read_draft
from muc_core.evidence.schemas import SCHEMAS, schema_of
from muc_core.evidence.verify import verify_pack
from muc_core.jobs.tasks.unlearn import method_settings
from muc_core.unlearning.method import METHODS
from muc_core.workspace.index import AUDITS, ENCODERS, MANIFEST, RUNS, Shelf, read_entry
from tests.fuzz.files import of_the_corpus
from tests.fuzz.mutation import changed, damaged, documents
from tests.fuzz.target import Target
from tests.hostile.run import wrong_with
from tests.unit.evidence.pack import KEY, draft, pack, signed_anew

NOW, DIGEST = "2026-01-01T00:00:00.000+00:00", "0" * 64


@cache
def _sound() -> dict[str, Any]:
    """A manifest of each kind, settings of an encoder behind a URL, as their JSON."""
    split = {"seed": 0, "retain": ["b"], "forget": ["a"], "held_out": ["c"], "calibration": []}
    made: dict[str, Any] = {
        "encoder": EncoderManifest(
            name="mine",
            title="Mine",
            family="clip",
            architecture="muc-tiny",
            method="ac",
            original="theirs",
            settings={"epochs": 3, "nested": {"a": [1, None]}},
            seeds={"order": 1},
            data=DataReference.model_validate({"spec": "demo", "digest": DIGEST, "split": split}),
            metrics={"loss": 0.5},
            created=NOW,
        ),
        "run": RunManifest(id="mine", kind="train", title="Mine", family="clip", architecture="muc-tiny", created=NOW),
        "audit": AuditManifest(id="mine", title="Mine", before="a", after="b", digests={"owner": DIGEST}, created=NOW),
        "url": RemoteSettings(
            url="https://api.example.org/v1", dialect="jina", model="m", image_size=64, has_text=True
        ),
    }
    return {name: json.loads(model.model_dump_json()) for name, model in made.items()}


@dataclass(frozen=True)
class Entry:
    """An entry of a workspace with this manifest."""

    shelf: Shelf[Any]
    manifest: bytes


def _entry(entry: Entry, folder: Path) -> None:
    place = folder / "mine"
    place.mkdir(exist_ok=True)
    (place / MANIFEST).write_bytes(entry.manifest)
    (place / "weights.safetensors").touch()
    found = read_entry(place, entry.shelf)
    assert type(found).model_validate_json(found.model_dump_json()) == found or "NaN" in found.model_dump_json()


def _entries() -> st.SearchStrategy[Entry]:
    shelves = (ENCODERS, RUNS, AUDITS)
    return st.one_of([st.builds(Entry, st.just(one), documents([_sound()[one.kind]])) for one in shelves])


def _settings(content: bytes, folder: Path) -> None:
    path = folder / "remote.json"
    path.write_bytes(content)
    read_settings(path)


def _method(example: tuple[str, dict[str, JsonValue]], folder: Path) -> None:
    name, given = example
    method_settings(METHODS.get(name), given)


def _methods() -> st.SearchStrategy[tuple[str, Any]]:
    """A method, often one that is there, with settings like its own."""
    known = [(name, json.loads(METHODS.get(name).settings().model_dump_json())) for name in METHODS.names()]
    of_known = st.sampled_from(known).flatmap(lambda one: st.tuples(st.just(one[0]), changed([one[1]])))
    return st.one_of(of_known, st.tuples(st.text(max_size=12), st.just({})))


# evidence


def _pack(content: bytes, folder: Path) -> None:
    """Damaged as it is: nobody can have signed it so."""
    found = verify_pack(content)
    assert found.verified == (content == pack()), "a pack that nobody signed is verified"
    _say(found.problems)


def _signed(example: tuple[dict[str, bytes], Any], folder: Path) -> None:
    """By a signer who may write anything into it."""
    files, manifest = example
    if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict) and set(manifest["files"]) <= set(files):
        _say(verify_pack(signed_anew(files, manifest)).problems)


def _say(problems: tuple[str, ...]) -> None:
    for problem in problems:
        assert wrong_with(problem) is None, problem[:300]
    if problems:
        raise MucError(problems[0])


@st.composite
def _signed_packs(draw: st.DrawFn) -> tuple[dict[str, bytes], Any]:
    files = dict(read_container(pack()).files)
    manifest = json.loads(files["manifest.json"])
    what = draw(st.sampled_from(("manifest", "result.json", "vectors.safetensors", "report.html", "both")))
    if what in ("manifest", "both"):
        manifest = draw(changed([manifest]))
    if what in ("result.json", "both"):
        files["result.json"] = draw(documents([json.loads(files["result.json"])]))
    elif what != "manifest":
        files[what] = draw(damaged([files[what]]))
    return files, manifest


def _draft(example: tuple[bytes, bytes], folder: Path) -> None:
    read_draft(example[0], draft().result, example[1])


def _schema(example: tuple[str, bytes], folder: Path) -> None:
    """What the model reads, it writes as the published schema says, and reads again."""
    from jsonschema import Draft202012Validator
    from pydantic import ValidationError

    name, content = example
    model = AuditResult if "result" in name else Manifest
    try:
        found = model.model_validate_json(content)
    except ValidationError as error:
        raise MucError("it does not validate") from error
    again = found.model_dump_json()
    Draft202012Validator(json.loads(schema_of(name))).validate(json.loads(again))
    assert model.model_validate_json(again).model_dump_json() == again


def _schemas() -> st.SearchStrategy[tuple[str, bytes]]:
    files = read_container(pack()).files
    return st.one_of(
        [
            st.tuples(
                st.just(name), documents([json.loads(files["result.json" if "result" in name else "manifest.json"])])
            )
            for name in SCHEMAS
        ]
    )


# keys and vectors


def _key(example: tuple[str, bytes], folder: Path) -> None:
    passphrase, pem = example
    if b"PRIVATE" in pem:
        read_private_key(pem, passphrase, "key.pem")
    else:
        read_public_key(pem, "key.pem")


def _keys() -> st.SearchStrategy[tuple[str, bytes]]:
    sound = [write_public_key(KEY.public_key()), write_private_key(KEY, None), write_private_key(KEY, "secret")]
    return st.tuples(st.sampled_from(("", "secret", "\0")) | st.text(max_size=5), damaged(sound))


def _vectors(example: tuple[str, bytes], folder: Path) -> None:
    read_embeddings(example[1], example[0])


def _vector_files() -> st.SearchStrategy[tuple[str, bytes]]:
    trees = of_the_corpus("vectors/sound_npz", "vectors/sound_safetensors")
    return st.sampled_from(trees).flatmap(
        lambda tree: st.tuples(st.just(tree.given), damaged(list(tree.files.values())))
    )


TARGETS = (
    Target("manifests", _entries(), _entry),
    Target("settings of URLs", documents([_sound()["url"]]), _settings),
    Target("settings of methods", _methods(), _method),
    Target("evidence packs", damaged([pack()]), _pack),
    Target("evidence packs, signed", _signed_packs(), _signed),
    Target(
        "kept evidence",
        st.tuples(documents([json.loads(draft().statement.model_dump_json())]), damaged([draft().vectors])),
        _draft,
    ),
    Target("JSON Schemas", _schemas(), _schema),
    Target("keys", _keys(), _key),
    Target("files of vectors", _vector_files(), _vectors),
)
