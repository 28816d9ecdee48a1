"""Black-box auditing of machine unlearning in contrastive encoders: the library under the dashboard."""

__version__ = "0.1.0"
