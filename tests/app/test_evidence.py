"""The page Evidence, and the button that makes a pack of an audit."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from muc_core.errors import MucError
from muc_core.evidence.keys import fingerprint, write_public_key
from muc_core.evidence.verify import verify_pack
from muc_core.workspace import Workspace
from muc_core.workspace.evidence import fingerprint_of, is_locked, keep_pack, kept_packs, key_file, make_key
from tests.unit.evidence.pack import KEY, TITLE, draft, pack, retitled

ZIP = "application/zip"


@pytest.fixture
def page(empty_app: AppTest) -> AppTest:
    return empty_app.run().switch_page("app_pages/evidence.py").run()


def check(page: AppTest, content: bytes, key: bytes | None = None) -> AppTest:
    page.file_uploader(key="evidence pack").set_value([("audit.muc.zip", content, ZIP)])
    if key is not None:
        page.file_uploader(key="evidence key").set_value([("signer.pub.pem", key, "application/x-pem-file")])
    page.run()
    assert not page.exception
    return page


def said(page: AppTest) -> str:
    return " ".join(str(part.value) for part in (*page.markdown, *page.caption, *page.error))


def test_a_pack_that_holds_is_said_to_with_whose_key_it_is(page: AppTest) -> None:
    told = said(check(page, pack()))
    assert "verified: Verified" in told
    assert "Did it forget" not in told  # the title's own signs are text
    assert r"Did \<it\> forget?" in told
    assert "The key came with the pack" in told
    assert fingerprint(KEY.public_key()) in [block.value for block in page.code]
    assert "signed with the key that you gave" in said(check(page, pack(), write_public_key(KEY.public_key())))


def test_a_changed_file_is_named(page: AppTest) -> None:
    told = said(check(page, pack().replace(b"never-seen", b"ever--seen")))
    assert "Not verified" in told
    assert "result.json was changed" in told
    assert "verified: Verified" not in told


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"no zip at all", pack()[:-1], pack() + b"x"])
def test_whatever_is_no_pack_ends_in_a_sentence(page: AppTest, content: bytes) -> None:
    assert "Not verified" in said(check(page, content))


def test_a_key_that_is_none_is_said(page: AppTest) -> None:
    assert "signer.pub.pem holds no public key" in said(check(page, pack(), b"hello"))


def test_packs_made_here_are_listed_with_the_key(page: AppTest, tmp_path: Path) -> None:
    assert "None yet" in said(page)
    workspace = Workspace(tmp_path / "home")
    make_key(workspace, key_file(workspace), None)
    keep_pack(workspace, pack())
    keep_pack(workspace, retitled("Second"))
    (workspace.home / "evidence" / "zzz.muc.zip").write_bytes(b"damaged")
    page.run()
    assert not page.exception
    assert list(page.dataframe[-1].value["What was asked"]) == ["cannot be read any more", "Second", TITLE]
    assert fingerprint_of(key_file(workspace)) in [block.value for block in page.code]
    assert "not locked by a passphrase" in said(page)


def offer(state: str, language: str = "en") -> AppTest:
    def script(state: str, language: str) -> None:
        from dashboard.components.evidence_offer import evidence_offer
        from dashboard.services.evidence import Evidence
        from dashboard.texts import texts
        from muc_core.errors import MucError
        from muc_core.evidence.pack import Draft
        from tests.unit.evidence.pack import draft

        def take() -> Draft:
            if state == "gone":
                raise MucError("it is gone")
            return draft()

        evidence_offer(Evidence("k", take), texts(language))

    return AppTest.from_function(script, args=(state, language), default_timeout=60).run()


def press(page: AppTest) -> str:
    """The button that makes a pack; what the page says then."""
    page.button[0].click().run()
    assert not page.exception
    return said(page)


def test_the_first_pack_makes_a_key_under_a_passphrase_or_without_one_if_that_is_ticked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUC_HOME", str(tmp_path))
    workspace = Workspace(tmp_path)
    page = offer("there")
    assert "The passphrase is empty" in press(page)
    page.text_input[0].input("secret")
    page.text_input[1].input("secrets")
    assert "The two passphrases differ" in press(page)
    page.checkbox[0].check()
    assert "choose one of the two" in press(page)
    assert not key_file(workspace).exists()
    page.checkbox[0].uncheck()
    page.text_input[1].input("secret")
    press(page)
    assert is_locked(key_file(workspace))
    (made,) = kept_packs(workspace)
    found = verify_pack(made.path.read_bytes())
    assert found.verified
    assert found.result == draft().result
    assert found.signer == fingerprint_of(key_file(workspace))

    again = offer("there")
    again.text_input[0].input("wrong")
    assert "the passphrase is wrong" in press(again)
    again.text_input[0].input("secret")
    press(again)
    assert len(kept_packs(workspace)) == 2


def test_a_key_without_a_passphrase_asks_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUC_HOME", str(tmp_path))
    page = offer("there")
    page.checkbox[0].check()
    press(page)
    assert not is_locked(key_file(Workspace(tmp_path)))
    page = offer("gone")
    assert not page.text_input
    assert "It is gone." in press(page)
    assert len(kept_packs(Workspace(tmp_path))) == 1


def test_it_is_offered_in_the_language_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUC_HOME", str(tmp_path))
    page = offer("there", "de")
    assert "Das Kennwort ist leer" in press(page)
    page.checkbox[0].check()
    press(page)
    assert [button.proto.label for button in page.get("download_button")] == ["Nachweis speichern"]
    assert len(kept_packs(Workspace(tmp_path))) == 1


def test_a_key_is_not_replaced(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    make_key(workspace, key_file(workspace), None)
    with pytest.raises(MucError, match="is there already and stays as it is"):
        make_key(workspace, key_file(workspace), "secret")
