"""Texts on their way to a page."""

import pytest

from dashboard.components.words import capital, moment, sentence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the disk is full", "The disk is full."),
        ("'simclr-ac' has no verdict yet.", "'simclr-ac' has no verdict yet."),
        ("result.json was changed", "result.json was changed."),
        ("http://127.0.0.1:9 does not answer", "http://127.0.0.1:9 does not answer."),
        ("ids:file names nothing", "ids:file names nothing."),
        ("batch_size: must be 1 or more", "batch_size: must be 1 or more."),
        ("views: must be 2 or more", "Views: must be 2 or more."),
        ("größer als MERU", "Größer als MERU."),
        ("", "."),
    ],
)
def test_a_message_becomes_a_sentence_and_names_stay_as_they_are(text: str, expected: str) -> None:
    assert sentence(text) == expected
    assert capital(text) == expected.removesuffix(".") or text.endswith(".")


def test_a_moment_is_told_to_the_second() -> None:
    assert moment("2026-11-26T19:13:15.651+00:00") == "2026-11-26 19:13:15 UTC"
