"""Checking an evidence pack on the page: what holds, who signed, and which pictures were meant, in words."""

import streamlit as st

from dashboard.charts.verdict_looks import LOOKS
from dashboard.components.uploads import KINDS
from dashboard.components.words import plain, sentence
from dashboard.services import Files
from dashboard.services.evidence import check_pack, meant, report_of, signing_key
from muc_core.audit.result import VERDICT_MEANING, AuditResult
from muc_core.evidence.manifest import Manifest, Role
from muc_core.evidence.verify import Verification
from muc_core.reports.document import shown

_ROLES: dict[Role, str] = {"before": "Encoder before", "after": "Encoder after", "retrained": "Retrained encoder"}
_MOST_NAMES = 10


def check_form() -> None:
    """Asks for a pack, and optionally for the signer's key and for pictures; says what became of the check."""
    pack = st.file_uploader("An evidence pack (.muc.zip)", type=["zip"], key="evidence pack")
    with st.expander("The signer's public key, and pictures to look up (optional)", icon=":material/key:"):
        left, right = st.columns(2, gap="large")
        key = left.file_uploader(
            "Public key of who must have signed (.pub.pem)",
            type=["pem"],
            key="evidence key",
            help="Without it, the key in the pack is used, which anyone may have put there: compare its fingerprint.",
        )
        files = right.file_uploader(
            "Pictures: which of them was the audit about?",
            type=KINDS,
            accept_multiple_files=True,
            key="evidence pictures",
            help="They stay in the memory of this machine, for this session only.",
        )
    if pack is None:
        return
    found = check_pack(pack.getvalue(), None if key is None else (key.name, key.getvalue()))
    if not found.verified or found.manifest is None or found.result is None:
        _refused(found)
        return
    _verified(found, found.manifest, found.result, named=key is not None)
    if files:
        _pictures(found.manifest, Files.of((file.name, file.getvalue()) for file in files))


def _refused(found: Verification) -> None:
    with st.container(border=True, key="evidence-refused"):
        st.markdown("## :red[:material/gpp_bad: Not verified]")
        for problem in found.problems:
            st.markdown(plain(sentence(shown(problem))))
        st.caption(
            "Nothing in this file is evidence as it is. Ask whoever gave it to you for the file as it was signed."
        )


def _verified(found: Verification, manifest: Manifest, result: AuditResult, *, named: bool) -> None:
    look = LOOKS[result.verdict]
    with st.container(border=True, key="evidence-verified"):
        st.markdown("## :blue[:material/verified: Verified]")
        st.markdown(
            "The signature and every file hold, and all statistics, computed again from the vectors, are those in the "
            "pack."
        )
        _signer(found.signer or "", named=named)
        st.markdown(f"**{plain(shown(manifest.title))}**")
        st.markdown(f"### :{look.colour}[:material/{look.icon}: {look.word}]")
        st.markdown(f"{plain(VERDICT_MEANING[result.verdict])} {plain(shown(result.rule))}")
        st.caption(
            f"Made {plain(manifest.created[:16].replace('T', ' '))} UTC, of {len(manifest.owner):,} pictures and "
            f"{len(manifest.controls):,} controls."
        )
        st.dataframe(
            {
                "Encoder": [_ROLES[role] for role in manifest.encoders],
                "Name": [shown(who.name, 80) for who in manifest.encoders.values()],
                "Digest": [shown(who.digest, 64) for who in manifest.encoders.values()],
            },
            hide_index=True,
            width="stretch",
        )
        if result.warnings:
            st.markdown("What the audit itself says to heed:")
            st.markdown("\n".join(f"- {plain(sentence(shown(warning)))}" for warning in result.warnings))
        st.markdown("What this does not say:")
        for note in found.notes:
            if "--public-key" not in note:  # said with the signer, in the words of the page
                st.markdown(f"- {plain(sentence(note))}")
        st.download_button(
            "Report (PDF)",
            lambda: report_of(found),
            "audit-report.pdf",
            "application/pdf",
            icon=":material/picture_as_pdf:",
            on_click="ignore",
            help="The report of what was verified, set anew.",
        )


def _signer(fingerprint: str, *, named: bool) -> None:
    own = signing_key()
    if named:
        whose = "It was signed with the key that you gave."
    elif own is not None and own.fingerprint == fingerprint:
        whose = "It was signed with the key of this workspace."
    else:
        whose = (
            "The key came with the pack, and anyone may have put it there: compare its fingerprint with what the "
            "signer told you, or give the signer's public key above."
        )
    st.markdown(whose)
    st.code(fingerprint, language=None, wrap_lines=True)


def _pictures(manifest: Manifest, files: Files) -> None:
    found = meant(manifest, files)
    owners = [name for name, _, group in found.found if group == "owner"]
    controls = [name for name, _, group in found.found if group != "owner"]
    st.subheader("Which pictures were meant?", anchor=False)
    total = len(manifest.owner)
    st.markdown(
        f"Of the {total:,} pictures that the audit was about, {total - len(found.missing):,} are among these files"
        + ("." if found.missing else ": all of them.")
    )
    _some("The audit was about", owners)
    _some("Controls", controls)
    _some("Neither, or counted as a copy of another", found.others)
    _some("Meant, but not among these files", found.missing)


def _some(what: str, names: tuple[str, ...] | list[str]) -> None:
    if names:
        more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
        st.markdown(
            f"- {what} ({len(names):,}): {plain(', '.join(shown(name, 80) for name in names[:_MOST_NAMES]))}{more}"
        )
