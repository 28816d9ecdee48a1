"""Black-box audit: sees vectors, never weights."""
