"""What an audit's statistics are computed from, in one piece, so that it can be kept and computed from again."""

from collections.abc import Mapping
from dataclasses import dataclass

from muc_core.audit.audit import AuditSettings, audit
from muc_core.audit.result import AuditResult, Check, Collateral
from muc_core.audit.vectors import Vectors


@dataclass(frozen=True, eq=False)
class AuditInputs:
    """The arguments of `audit.audit`.

    Attributes:
        vectors: by encoder: "after", and "before" and "retrained" where there are any.
        owner_ids, control_ids: of the items, whose vectors come in this order.
        checks, collateral, warnings: found beforehand and passed on.
    """

    vectors: Mapping[str, Vectors]
    owner_ids: tuple[str, ...]
    control_ids: tuple[str, ...]
    settings: AuditSettings
    checks: tuple[Check, ...] = ()
    collateral: Collateral | None = None
    warnings: tuple[str, ...] = ()

    def result(self) -> AuditResult:
        """The audit; the same inputs give the same result. Raises `MucError` as `audit.audit` does."""
        return audit(
            self.vectors["after"],
            owner_ids=self.owner_ids,
            control_ids=self.control_ids,
            before=self.vectors.get("before"),
            retrained=self.vectors.get("retrained"),
            checks=self.checks,
            collateral=self.collateral,
            settings=self.settings,
            warnings=self.warnings,
        )
