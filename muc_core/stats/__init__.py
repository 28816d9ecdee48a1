"""Permutation, equivalence, multiplicity, intervals, power: thin layers over scipy for what an audit asks of them."""
