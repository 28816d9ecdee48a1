"""Everything that turns pictures or texts into vectors."""
