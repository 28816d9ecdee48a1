"""Recognising the field's weight files by the names and shapes of their tensors."""

from muc_core.encoders.recognition.recognise import recognise, recognise_checkpoint
from muc_core.encoders.recognition.recognition import FORMATS, Format, Recognition

__all__ = ["FORMATS", "Format", "Recognition", "recognise", "recognise_checkpoint"]
