"""Signed evidence of an audit: what it was computed from, what it found, and how anyone can check both later."""
