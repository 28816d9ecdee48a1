"""What unlearning cost, counted in picture views that pass through the encoder, which no machine changes."""

from muc_core.evaluation.metrics import Metric, declare

declare(
    Metric("rte", "RTE", "lower", 0.0, None, 0.0, "seconds", "Run time of unlearning, without evaluation or storage.")
)
declare(
    Metric(
        "views",
        "cost in views",
        "lower",
        0.0,
        None,
        0.0,
        "share",
        "Picture views that passed through the encoder while unlearning, as a share of Retrain's.",
    )
)


def views_seen(*, epochs: int, retain: int, forget: int, views: int, third_view: bool = False) -> int:
    """Picture views forwarded in a run.

    Args:
        epochs: passes over the data.
        retain, forget: pictures of each that the method uses.
        views: of each picture in a step: 2 for two-view families, 1 for image-text ones.
        third_view: one more of each forget picture, for Alignment Calibration in two-view families.
    """
    return epochs * (views * (retain + forget) + (forget if third_view else 0))
