"""How a page plans an audit: which pictures are looked at for collateral."""

from pathlib import Path

import pytest

from dashboard.services import (
    controls_for,
    cost_of_audit,
    items_of,
    most_decoys,
    pair_data,
    plan_audit,
    start_audit,
)
from muc_core.auditing import RETAINED, some_retained
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.splits import DataSplit
from muc_core.jobs.tasks.audit import AuditJob
from muc_core.workspace import Workspace
from tests.app.odd import write_odd
from tests.app.small import AFTER, ANN, BEFORE, write_small


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MUC_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    return tmp_path / "assets"


def test_retained_pictures_of_known_data_are_in_the_audit_and_its_job(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_small(assets, tmp_path / "pictures")
    data = pair_data(BEFORE, AFTER)
    owner = items_of("forget", data)
    controls = controls_for(owner, data)
    plan = plan_audit(BEFORE, AFTER, owner, controls)
    assert plan.retained is not None
    assert set(plan.retained.ids) == set(data.split.retain)
    # Somebody who owns a retained picture does not see it among the others.
    mine = data.dataset.subset((*ANN, data.split.retain[0]))
    other = plan_audit(BEFORE, AFTER, mine, controls)
    assert other.retained is not None
    assert set(data.split.retain) - set(other.retained.ids) == {data.split.retain[0]}
    assert other.key != plan.key

    asked: list[AuditJob] = []
    monkeypatch.setattr("dashboard.services.audits.submit", lambda *given, unique: asked.append(given[2]))
    start_audit(plan, None, None, data)
    assert asked[0].retained is not None
    assert asked[0].retained.open().digest() == plan.retained.digest()


def test_nothing_is_retained_where_the_data_are_unknown_or_would_be_sent_away(assets: Path, tmp_path: Path) -> None:
    write_odd(assets, tmp_path / "home", tmp_path / "pictures")
    dataset, split = load_demo(), demo_split()
    owner, controls = dataset.subset(split.forget[:6]), dataset.subset(split.held_out)
    assert plan_audit("small-clip", "small-clip-ac", owner, controls).retained is not None
    assert plan_audit("small-clip", "odd-url", owner, controls).retained is None
    shelf = Workspace()
    known = shelf.encoder("small-clip")
    unknown = known.manifest.model_copy(update={"name": "stranger", "data": None})
    shelf.add_encoder(unknown, {"weights.safetensors": known.weights.read_bytes()})
    assert plan_audit("stranger", "stranger", owner, controls).retained is None


def test_decoys_hide_pictures_from_a_url_and_are_counted_beforehand(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_odd(assets, tmp_path / "home", tmp_path / "pictures")
    data = pair_data("small-clip", "odd-url")
    dataset, split = load_demo(), demo_split()
    plan = plan_audit("small-clip", "odd-url", dataset.subset(split.forget[:6]), dataset.subset(split.held_out))
    assert most_decoys(plan, data) == min(100, len(data.split.retain) // 6)
    near = plan_audit("small-clip", "small-clip-ac", plan.owner, plan.controls)
    assert (most_decoys(near, data), cost_of_audit(near, decoys=0)) == (0, ())
    (open_cost,), (hidden_cost,) = cost_of_audit(plan, decoys=0), cost_of_audit(plan, decoys=1)
    assert "decoys" not in open_cost
    assert f"up to {14 * (12 + len(split.held_out)):,} pictures" in hidden_cost
    assert "6 of them decoys" in hidden_cost

    asked: list[AuditJob] = []
    monkeypatch.setattr("dashboard.services.audits.submit", lambda *given, unique: asked.append(given[2]))
    start_audit(plan, None, None, data, decoys=1)
    assert asked[0].decoys is not None
    assert (len(asked[0].decoys.ids), asked[0].decoys_each) == (6, 1)
    assert set(asked[0].decoys.ids) <= set(data.split.retain)


def test_of_many_retained_pictures_some_are_drawn_by_the_seed() -> None:
    dataset, split = load_demo(), demo_split()
    owner = dataset.subset(split.retain[:2])
    one, again, other = (some_retained(dataset, split, owner, seed=seed) for seed in (0, 0, 1))
    assert one is not None
    assert again is not None
    assert other is not None
    assert len(one) == RETAINED
    assert one.ids == again.ids != other.ids
    assert set(one.ids) <= set(split.retain[2:])
    alone = DataSplit(seed=0, forget=(), retain=owner.ids, held_out=(), calibration=())
    assert some_retained(dataset, alone, owner, seed=0) is None
