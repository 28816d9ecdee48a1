"""One file per unlearning method; importing this package registers them all."""
