"""The offer of an evidence pack on any page: what it takes to press it."""

from streamlit.testing.v1 import AppTest

from muc_core.evidence.verify import Verification, verify_pack
from muc_core.workspace import Workspace
from muc_core.workspace.evidence import kept_packs


def make_pack_on(page: AppTest) -> Verification:
    """Make the first pack of a workspace, without a passphrase; what checking it says."""
    (tick,) = [box for box in page.checkbox if box.label.startswith("Without a passphrase")]
    tick.check()
    (button,) = [button for button in page.button if button.label == "Make the evidence pack"]
    button.click().run()
    assert not page.exception
    assert not page.error
    (kept,) = kept_packs(Workspace())
    return verify_pack(kept.path.read_bytes())
