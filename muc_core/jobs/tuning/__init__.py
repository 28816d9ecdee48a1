"""Finding the right strength: measuring encoders and strengths in one way, along a run, on the dial, and by search."""
