"""`muc presets`: what an encoder can be trained with by name."""

from dataclasses import asdict

from muc_core.cli.output import JsonFlag, emit, table


def presets(as_json: JsonFlag = False) -> None:
    """List the presets that `muc train --preset` takes."""
    from muc_core.jobs.presets import PRESETS

    rows = [(preset.name, preset.family, preset.architecture, preset.summary) for preset in PRESETS]
    columns = {"preset": "left", "family": "left", "architecture": "left", "": "left"}
    emit([asdict(preset) for preset in PRESETS], table(columns, rows), as_json=as_json)
