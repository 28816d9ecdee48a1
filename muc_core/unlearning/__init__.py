"""Unlearning methods, one file each, and the training engine they share."""
