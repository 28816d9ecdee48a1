"""An assets folder with two untrained encoders of the demo, which differ: enough for pages that only look."""

from pathlib import Path

from muc_core.data.demo import demo_split, load_demo
from muc_core.encoders.families.clip import ClipFamily
from muc_core.encoders.manifest import DataReference, EncoderManifest
from muc_core.workspace import write_encoder

ARCHITECTURE = "muc-tiny"


def write_pair(assets: Path) -> None:
    """demo-clip, and demo-clip-ac as if it came from it."""
    data = DataReference(spec="demo", digest=load_demo().digest(), split=demo_split())
    for seed, (name, original) in enumerate((("demo-clip", None), ("demo-clip-ac", "demo-clip"))):
        manifest = EncoderManifest(
            name=name,
            title=name,
            family="clip",
            architecture=ARCHITECTURE,
            method="ac" if original else None,
            original=original,
            data=data,
        )
        write_encoder(assets / "encoders", manifest, ClipFamily().build(ARCHITECTURE, seed).state_dict())
