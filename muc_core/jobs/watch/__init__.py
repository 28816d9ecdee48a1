"""Watching an encoder: the same audit again and again, with one rate of false alarms over all looks together."""
