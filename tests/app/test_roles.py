"""Who sees which page and may do what, over all roles and all registered pages."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from streamlit import config
from streamlit.runtime.secrets import secrets_singleton
from streamlit.testing.v1 import AppTest

from dashboard.services.people import login_settings
from dashboard.services.roles import PAGES as PAGES_OF
from dashboard.services.roles import ROLES, Role, RoleSettings, User
from dashboard.streamlit_app import FORMER, PAGES
from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import MucError
from muc_core.jobs import JobTable
from muc_core.workspace import Workspace
from muc_core.workspace.log import DEEDS, Deed

ROUTER = Path(__file__).parents[2] / "dashboard" / "streamlit_app.py"
AUTH = """
[auth]
redirect_uri = "http://127.0.0.1:8501/oauth2callback"
cookie_secret = "a secret of more than thirty-two signs"
client_id = "muc"
client_secret = "secret"
server_metadata_url = "http://127.0.0.1:9/.well-known/openid-configuration"
"""
WHO_IS_WHAT = """
[roles]
contact = "Ben at ben@example.org"
owner = ["Ann@example.org"]
engineer = ["eve@example.org"]
presenter = ["pia@example.org"]
"""
PEOPLE: dict[Role, str] = {"owner": "ann@example.org", "engineer": "eve@example.org", "presenter": "pia@example.org"}
START = "What do you want to do?"
EVERY_PAGE = [(name, title) for name, title, _ in PAGES] + list(FORMER)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MUC_ASSETS", str(tmp_path / "assets"))
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def secrets(tmp_path: Path) -> Iterator[Path]:
    """A secrets.toml that Streamlit reads; it is there once a test writes it."""
    before, path = config.get_option("secrets.files"), tmp_path / "secrets.toml"
    config.set_option("secrets.files", [str(path)])
    secrets_singleton._reset()
    yield path
    config.set_option("secrets.files", before)
    secrets_singleton._reset()


def claims(email: str, **others: object) -> dict[str, Any]:
    """What Streamlit keeps of an ID token."""
    token = {"is_logged_in": True, "sub": f"sub of {email}", "email": email, "email_verified": True, "name": "A. Name"}
    return {**token, "iat": time.time(), **others}


def visit(user: dict[str, Any] | None = None, page: str | None = None) -> AppTest:
    app = AppTest.from_file(str(ROUTER), default_timeout=120)
    if user is not None:
        app.user = user
    app.run()
    return app if page is None else app.switch_page(f"app_pages/{page}.py").run()


def said(app: AppTest) -> str:
    assert [(error.message, error.stack_trace) for error in app.exception] == []
    kinds = (app.title, app.markdown, app.caption, app.info, app.error)
    return "\n".join(element.value for kind in kinds for element in kind).replace("\\", "")


def log_of(home: Path) -> list[tuple[str, str, dict[str, str]]]:
    return [(entry.who, entry.what, entry.which) for entry in Workspace(home).log.read().entries]


# without login


def test_without_secrets_nobody_is_asked_and_all_is_there(home: Path) -> None:
    app = visit()
    assert app.title[0].value == START
    assert [button.label for button in app.sidebar.button] == []
    assert log_of(home) == []


def test_secrets_for_something_else_ask_nobody(secrets: Path) -> None:
    secrets.write_text('other = "thing"')
    assert visit().title[0].value == START


# with login


def test_no_page_is_shown_before_login(secrets: Path) -> None:
    secrets.write_text(AUTH + WHO_IS_WHAT)
    app = visit()
    for page, _ in EVERY_PAGE:
        app.switch_page(f"app_pages/{page}.py").run()
        assert [one.value for one in app.title] == ["Log in"], page
        assert [button.label for button in app.button] == ["Log in"]
        assert not app.sidebar.button
        assert "ask Ben at ben@example.org" in said(app)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_sees_its_pages_and_is_refused_the_others(secrets: Path, home: Path, role: Role) -> None:
    secrets.write_text(AUTH + WHO_IS_WHAT)
    pages = PAGES_OF[role]
    app = visit(claims(PEOPLE[role]))
    for page, title in EVERY_PAGE:
        app.switch_page(f"app_pages/{page}.py").run()
        text = said(app)
        assert "our fault" not in text
        refused = (f"login:{PEOPLE[role]}", "refusal", {"page": page})
        if pages is None or page in pages:
            assert "not for you" not in text, page
            assert refused not in log_of(home)
        else:
            assert [one.value for one in app.title] == [title]
            assert f"This page is not for you as {role}. If it should be, ask Ben at ben@example.org." in text
            assert refused in log_of(home)


def test_every_role_sees_a_page_that_there_is() -> None:
    known = {name for name, *_ in PAGES}
    for pages in PAGES_OF.values():
        assert pages is None or ("start" in pages and pages <= known)


def test_who_is_logged_in_is_named_and_can_log_out(secrets: Path, home: Path) -> None:
    secrets.write_text(AUTH + WHO_IS_WHAT)
    app = visit(claims(PEOPLE["owner"]))
    assert app.sidebar.markdown[-1].value == ":material/person: **A. Name**"
    assert app.sidebar.caption[-1].value == "Owner"
    app.run()
    who = "login:ann@example.org"
    assert log_of(home) == [(who, "login", {"roles": "owner"})]
    app.sidebar.button(key="log out").click().run()
    assert [one.value for one in app.title] == ["Log in"]
    assert log_of(home)[1:] == [(who, "logout", {})]


def test_somebody_without_a_role_is_told_whom_to_ask(secrets: Path, home: Path) -> None:
    secrets.write_text(AUTH + WHO_IS_WHAT)
    app = visit(claims("zoe@example.org"), "jobs")
    text = said(app)
    assert "You are logged in as zoe@example.org" in text
    assert "ask Ben at ben@example.org" in text
    app.button(key="log out").click().run()
    assert [what for _, what, _ in log_of(home)] == ["refusal", "logout"]


def test_nobody_works_unlogged(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets.write_text(AUTH + WHO_IS_WHAT)

    def full(path: Path, content: bytes) -> None:
        raise MucError(f"the disk is full: {path} could not be written")

    monkeypatch.setattr("muc_core.workspace.log.write_file", full)
    app = visit(claims(PEOPLE["owner"]))
    assert "The disk is full" in said(app)
    assert not app.title


def test_a_login_ends_after_its_hours(secrets: Path) -> None:
    secrets.write_text(AUTH + WHO_IS_WHAT + "hours = 1")
    assert visit(claims(PEOPLE["owner"], iat=time.time() - 3500)).title[0].value == START
    assert visit(claims(PEOPLE["owner"], iat=time.time() - 3700)).title[0].value == "Log in"
    assert visit(claims(PEOPLE["owner"], iat=None)).title[0].value == "Log in"


def test_a_role_that_is_taken_away_is_gone_at_once(secrets: Path) -> None:
    secrets.write_text(AUTH + WHO_IS_WHAT)
    app = visit(claims(PEOPLE["owner"]))
    secrets.write_text(AUTH + WHO_IS_WHAT.replace("Ann", "Amy"))
    secrets_singleton._reset()  # the server's own watcher does it
    assert "nobody said what you may do here" in said(app.run())


def test_a_login_service_that_is_down_is_a_sentence(secrets: Path) -> None:
    secrets.write_text(AUTH + WHO_IS_WHAT)
    app = visit()
    app.button(key="log in").click().run()
    assert "The login service at 127.0.0.1:9 does not answer. Try again in a minute" in said(app)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (AUTH, "[auth] and no [roles]"),
        (WHO_IS_WHAT, "[roles] and no [auth]"),
        (AUTH.replace("client_id", "client") + WHO_IS_WHAT, "client_id"),
        (AUTH.replace("/oauth2callback", "/") + WHO_IS_WHAT, "redirect_uri"),
        (AUTH.replace("http://127.0.0.1:9", "http://login.example.org") + WHO_IS_WHAT, "server_metadata_url"),
        (AUTH.replace("a secret of more than ", "") + WHO_IS_WHAT, "cookie_secret"),
        (AUTH + WHO_IS_WHAT.replace("contact", "contacts"), "contact"),
        (AUTH + WHO_IS_WHAT.replace('["Ann@example.org"]', '"Ann@example.org"'), "owner"),
        (AUTH + WHO_IS_WHAT + "hours = 0", "hours"),
        (AUTH + WHO_IS_WHAT + "[auth.google]\nclient_id = 'x'", "google"),
        (AUTH + "[roles", "secrets.toml cannot be used"),
        ("\udcff", "secrets.toml cannot be"),
    ],
)
def test_settings_that_are_not_right_name_the_field_and_let_nobody_in(secrets: Path, text: str, named: str) -> None:
    secrets.write_text(text, errors="surrogateescape")
    app = visit(claims(PEOPLE["engineer"]))
    assert [one.value for one in app.title] == ["Nobody can log in"]
    assert named in said(app)
    assert not app.button


def test_what_is_written_in_the_example_is_right(secrets: Path) -> None:
    example = ROUTER.parents[1] / "docs" / "examples" / "secrets.toml"
    secrets.write_text(example.read_text(encoding="utf-8"))
    found = login_settings()
    assert found is not None
    assert all(getattr(found.roles, role) for role in ROLES)


# who is what


def roles(**fields: Any) -> RoleSettings:
    return RoleSettings(contact="Ben", **fields)


@pytest.mark.parametrize(
    ("settings", "token", "expected"),
    [
        (roles(owner=["ann@x.org"]), {"email": "ANN@x.org", "email_verified": True}, {"owner"}),
        (roles(owner=["ann@x.org"]), {"email": "ann@x.org", "email_verified": "true"}, {"owner"}),
        (roles(owner=["ann@x.org"]), {"email": "ann@x.org", "email_verified": False}, set()),
        (roles(owner=["ann@x.org"]), {"email": "ann@x.org"}, set()),
        (roles(owner=["ann@x.org"], trust_email=True), {"email": "ann@x.org"}, {"owner"}),
        (roles(owner=["ann@x.org"]), {"email": "ann@x.org.evil", "email_verified": True}, set()),
        (roles(owner=["ann@x.org"], presenter=["ann@x.org"]),
         {"email": "ann@x.org", "email_verified": True}, {"owner", "presenter"}),
        (roles(claim="groups", engineer=["ml"]), {"groups": ["art", "ml"]}, {"engineer"}),
        (roles(claim="groups", engineer=["ml"]), {"groups": "ml"}, {"engineer"}),
        (roles(claim="groups", engineer=["ml"]), {"groups": ["ML"]}, set()),
        (roles(claim="groups", engineer=["ml"]), {"groups": {"ml": True}}, set()),
        (roles(claim="groups", engineer=["ml"]), {}, set()),
    ],
)  # fmt: skip
def test_roles_follow_from_claims(settings: RoleSettings, token: dict[str, Any], expected: set[str]) -> None:
    assert settings.of({"sub": "1", **token}) == expected


def test_an_address_that_is_not_verified_names_nobody() -> None:
    assert roles().name_of({"sub": "123", "email": "eve@x.org"}) == "123"
    assert roles(trust_email=True).name_of({"sub": "123", "email": "eve@x.org"}) == "eve@x.org"


def someone(*held: Role) -> User:
    return User("login:me", "Me", frozenset(held))


DONE_BY_OWNERS: set[Deed] = {"login", "logout", "refusal", "audit", "evidence pack", "pictures sent", "uploads deleted"}


@pytest.mark.parametrize("what", DEEDS)
def test_every_deed_has_somebody_who_may_do_it(what: Deed) -> None:
    assert someone("engineer").may(what, {})
    assert someone("owner").may(what, {}) == (what in DONE_BY_OWNERS)
    assert someone("presenter").may(what, {}) == (what in {"login", "logout", "refusal"})
    assert someone("presenter", "owner").may(what, {}) == (what in DONE_BY_OWNERS)


def test_owners_start_their_jobs_and_end_their_own() -> None:
    owner = someone("owner")
    assert owner.may("job started", {"kind": "audit"})
    assert not owner.may("job started", {"kind": "unlearn"})
    assert owner.may("job cancelled", {"of": "login:me"})
    assert not owner.may("job cancelled", {"of": "login:you"})
    assert not owner.may("job resumed", {"of": "unknown"})


# in the services, without any page


def _do(deed: str) -> None:
    """Runs as a script of Streamlit's, where `st.user` is known."""
    from collections.abc import Callable

    import streamlit as st

    from dashboard import services
    from dashboard.services.jobs import jobs
    from muc_core.errors import MucError
    from muc_core.jobs import cancel
    from muc_core.jobs.table import JobTable

    here = services.workspace
    deeds: dict[str, Callable[[], object]] = {
        "remove": lambda: here().delete_encoder("mine"),
        "rename": lambda: here().rename_encoder("mine", "yours"),
        "unlearn": lambda: JobTable(here()).add("unlearn", {}, unique=False),
        "audit": lambda: JobTable(here()).add("audit", {}, unique=False),
        "cancel": lambda: [cancel(here(), job.id) for job in JobTable(here()).active()],
        "send": lambda: services.agree(services.Question("key", ())),
        "jobs": lambda: st.text(", ".join(job.kind for job in jobs())),
        "audits": lambda: st.text(", ".join(one.manifest.title for one in services.saved_audits())),
    }
    try:
        deeds[deed]()
        st.success("done")
    except MucError as refusal:
        st.error(str(refusal))


def done(deed: str, user: dict[str, Any] | None) -> AppTest:
    app = AppTest.from_function(_do, args=(deed,), default_timeout=60)
    if user is not None:
        app.user = user
    app.run()
    assert not app.exception
    return app


@pytest.mark.parametrize(
    ("deed", "allowed"),
    [
        ("remove", {"engineer"}),
        ("rename", {"engineer"}),
        ("unlearn", {"engineer"}),
        ("audit", {"engineer", "owner"}),
        ("send", {"engineer", "owner"}),
    ],
)
@pytest.mark.parametrize("role", ROLES)
def test_the_services_refuse_what_a_role_may_not(
    secrets: Path, home: Path, role: Role, deed: str, allowed: set[str]
) -> None:
    secrets.write_text(AUTH + WHO_IS_WHAT)
    workspace = Workspace(home)
    manifest = EncoderManifest(name="mine", title="Mine", family="clip", architecture="muc-tiny")
    workspace.save_encoder(manifest, {"w": torch.ones(2)})
    app = done(deed, claims(PEOPLE[role]))
    who, what, which = log_of(home)[-1]
    assert who == f"login:{PEOPLE[role]}"
    if role in allowed:
        assert app.success
        assert what != "refusal"
        return
    assert app.error[0].value == f"this is not for you to do as {role}: ask an engineer"
    assert (what, bool(which["deed"])) == ("refusal", True)
    assert [record.manifest.name for record in workspace.encoders()] == ["mine"]
    assert JobTable(workspace).jobs() == []


@pytest.mark.parametrize("user", [None, claims("zoe@example.org"), claims(PEOPLE["engineer"], iat=0)])
def test_the_services_know_nobody_who_is_not_logged_in_or_has_no_role(
    secrets: Path, home: Path, user: dict[str, Any] | None
) -> None:
    secrets.write_text(AUTH + WHO_IS_WHAT)
    for deed in ("jobs", "unlearn"):
        assert done(deed, user).error
    assert not home.exists() or JobTable(Workspace(home)).jobs() == []


def test_jobs_and_audits_of_others_are_not_seen(secrets: Path, home: Path) -> None:
    secrets.write_text(AUTH + WHO_IS_WHAT)
    workspace = Workspace(home)
    for who in ("login:ann@example.org", "login:amy@example.org"):
        workspace.act_for(who)
        job, _ = JobTable(workspace).add("audit", {"of": who}, unique=False)
        for title, settings in (("by a job", {"job": job.id}), ("by none", {"job": None})):
            workspace.save_audit(
                title=f"{title} of {who[6:9]}",
                before="a",
                after="a",
                settings={"kind": "audit", **settings},
                digests={},
                files={},
            )
    seen = {role: [done(what, claims(PEOPLE[role])).text[0].value for what in ("jobs", "audits")] for role in ROLES}
    assert seen["owner"] == ["audit", "by a job of ann"]
    assert seen["presenter"] == ["", ""]
    assert seen["engineer"] == ["audit, audit", "by none of amy, by a job of amy, by none of ann, by a job of ann"]
    assert "not for you" in done("cancel", claims(PEOPLE["owner"])).error[0].value  # one of them is Amy's
    states = {job.who: job.state for job in JobTable(workspace).jobs()}
    assert states["login:amy@example.org"] == "queued"
