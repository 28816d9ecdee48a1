"""What people who logged in may see and do, by role. Without login everybody may all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from muc_core.workspace.log import Deed

Role = Literal["owner", "engineer", "presenter"]
ROLES: tuple[Role, ...] = get_args(Role)

READING = frozenset({"start", "overview", "present", "matrices", "embedding_map", "compare", "evidence"})
"""Pages that show what is there."""

PAGES: Mapping[Role, frozenset[str] | None] = {
    "presenter": READING,
    "owner": READING | {"check_my_pictures", "jobs", "settings"},
    "engineer": None,
}
"""Pages by role; None: all."""

EVERYBODY: frozenset[Deed] = frozenset({"login", "logout", "refusal"})
OWNERS: frozenset[Deed] = frozenset({"audit", "evidence pack", "pictures sent", "uploads deleted"})
OWNERS_JOBS = frozenset({"audit", "embedding_map"})
"""Kinds of jobs that owners may start: those that look at pictures of theirs."""


class RoleSettings(BaseModel):
    """Who has which role: the table [roles] of secrets.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    contact: str = Field(min_length=1, description="whom somebody without a role is to ask, as text")
    claim: str = Field(default="email", min_length=1, description="claim of the login whose values are listed below")
    owner: list[str] = Field(default=[], description="values that make somebody an owner")
    engineer: list[str] = Field(default=[], description="values that make somebody an engineer")
    presenter: list[str] = Field(default=[], description="values that make somebody a presenter")
    trust_email: bool = Field(
        default=False, description="take e-mail addresses that the login does not call verified, too"
    )
    hours: float = Field(default=12, gt=0, le=720, description="hours after which to log in anew")

    def of(self, claims: Mapping[str, object]) -> frozenset[Role]:
        """The roles of somebody with these claims: those of all values that are listed, so several are possible."""
        values = self._values(claims)
        return frozenset(role for role in ROLES if values & {self._plain(value) for value in getattr(self, role)})

    def name_of(self, claims: Mapping[str, object]) -> str:
        """What identifies somebody: the e-mail address, or how the login service calls them."""
        address = claims.get("email") if self._trusts_email_of(claims) else None
        return str(address or claims["sub"])

    def _trusts_email_of(self, claims: Mapping[str, object]) -> bool:
        return self.trust_email or claims.get("email_verified") in (True, "true")

    def _values(self, claims: Mapping[str, object]) -> set[str]:
        if self.claim == "email" and not self._trusts_email_of(claims):
            return set()
        found = claims.get(self.claim)
        values = found if isinstance(found, list | tuple) else [found]
        return {self._plain(value) for value in values if isinstance(value, str)}

    def _plain(self, value: str) -> str:
        """E-mail addresses are the same in capitals."""
        return value.strip().casefold() if self.claim == "email" else value


@dataclass(frozen=True)
class User:
    """Somebody who uses the pages.

    Attributes:
        who: as the log names them.
        name: as the pages do.
        roles: what they are.
        since: when they logged in, seconds since 1970; 0 where nobody logs in.
    """

    who: str
    name: str
    roles: frozenset[Role]
    since: float = 0.0

    @property
    def is_engineer(self) -> bool:
        """Engineers see and may do everything."""
        return "engineer" in self.roles

    def sees(self, page: str) -> bool:
        """Whether a page is for them."""
        return any(pages is None or page in pages for pages in map(PAGES.__getitem__, self.roles))

    def may(self, what: Deed, which: Mapping[str, str]) -> bool:
        """Whether they may do a deed; what it is done to is named as in the log."""
        if self.is_engineer or what in EVERYBODY:
            return True
        if "owner" not in self.roles:
            return False
        if what == "job started":
            return which.get("kind") in OWNERS_JOBS
        if what in ("job resumed", "job cancelled"):
            return which.get("of") == self.who
        return what in OWNERS
