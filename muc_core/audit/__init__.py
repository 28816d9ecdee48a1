"""Black-box audit: sees vectors, never weights."""

from muc_core.audit.alignment import (
    alignment_gap,
    alignment_matrix,
    image_text_factors,
    two_view_alignment_matrix,
    view_factors,
)
from muc_core.audit.ordering import order_by_cluster, order_by_diagonal, order_given
from muc_core.audit.picture import AlignmentPicture, draw, lay_out
from muc_core.audit.summary import AlignmentSummary, ItemScores, summarise, summarise_factors, summarise_views

__all__ = [
    "AlignmentPicture",
    "AlignmentSummary",
    "ItemScores",
    "alignment_gap",
    "alignment_matrix",
    "draw",
    "image_text_factors",
    "lay_out",
    "order_by_cluster",
    "order_by_diagonal",
    "order_given",
    "summarise",
    "summarise_factors",
    "summarise_views",
    "two_view_alignment_matrix",
    "view_factors",
]
