"""Small render functions that pages share."""
