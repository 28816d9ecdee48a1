"""Contrastive and unlearning losses: one file each, pure functions on tensors."""
