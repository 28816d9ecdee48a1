"""Logging in at an OpenID provider: the way in, what is refused, the way out, and a provider that is down."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboard.server import HEADERS
from muc_core.workspace import Workspace
from tests.e2e.browser import Watch, look_at_all, open_page, serve, settle
from tests.e2e.oidc import provided, secrets_toml

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def log_in(page: Page, name: str) -> None:
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    settle(page)


def log_out(page: Page) -> None:
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    settle(page)


def test_people_log_in_are_refused_and_log_out(tmp_path: Path, browser: Browser, pictures_folder: Path) -> None:
    secrets, home = tmp_path / "secrets.toml", tmp_path / "home"
    context = browser.new_context(viewport={"width": 1280, "height": 844})
    page = context.new_page()
    watch = Watch(page)
    with provided() as provider:
        secrets.write_text(secrets_toml(provider))
        with serve(home, tmp_path / "server.log", "--secrets.files", str(secrets)) as server:
            answer = page.goto(f"{server.url}/jobs")
            assert answer is not None
            assert {name.lower(): value for name, value in HEADERS.items()}.items() <= answer.headers.items()
            expect(page.get_by_role("heading", name="Log in")).to_be_visible()
            expect(page.get_by_test_id("stSidebarNav")).to_have_count(0)
            look_at_all(page, pictures_folder, "login")

            log_in(page, "Ann Artist")
            expect(page.get_by_role("heading", name="What do you want to do?")).to_be_visible()
            side = page.get_by_test_id("stSidebar")
            expect(side).to_contain_text("Ann Artist")
            expect(side.get_by_role("link", name="Tune")).to_have_count(0)
            look_at_all(page, pictures_folder, "login-owner")
            page.set_viewport_size({"width": 1280, "height": 844})
            open_page(page, "Jobs")
            expect(page.get_by_text("Nothing has run yet")).to_be_visible()
            page.goto(f"{server.url}/encoders")
            expect(page.get_by_text("This page is not for you as owner")).to_be_visible()
            look_at_all(page, pictures_folder, "login-refused")
            page.set_viewport_size({"width": 1280, "height": 844})
            log_out(page)
            assert provider.ended == 1
            page.goto(f"{server.url}/jobs")
            expect(page.get_by_role("heading", name="Log in")).to_be_visible()

            log_in(page, "Zoe Nobody")
            expect(page.get_by_text("nobody said what you may do here: ask Ben")).to_be_visible()
            look_at_all(page, pictures_folder, "login-without-role")
            page.set_viewport_size({"width": 1280, "height": 844})
            log_out(page)

            log_in(page, "Eve Engineer")
            open_page(page, "Encoders")
            expect(page.get_by_role("heading", name="Encoders", exact=True)).to_be_visible()
            log_out(page)

            found = Workspace(home).log.read()
            assert found.faults == ()
            assert [(entry.who, entry.what, *entry.which.values()) for entry in found.entries] == [
                ("login:ann@example.org", "login", "owner"),
                ("login:ann@example.org", "refusal", "encoders"),
                ("login:ann@example.org", "logout"),
                ("login:zoe@example.org", "refusal", "all"),
                ("login:zoe@example.org", "logout"),
                ("login:eve@example.org", "login", "engineer"),
                ("login:eve@example.org", "logout"),
            ]
            secret = secrets.read_text().split('cookie_secret = "')[1].split('"')[0]
            assert secret not in server.log.read_text() + "".join(map(str, found.entries))

            provider.stop()
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_text("does not answer. Try again in a minute")).to_be_visible()
            settle(page)
            look_at_all(page, pictures_folder, "login-down")
            context.close()
    assert not watch.problems, "\n".join(watch.problems)
