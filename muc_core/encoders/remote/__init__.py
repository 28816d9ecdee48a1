"""Encoders behind a URL: what is sent, how answers are read, what is remembered, and which addresses are refused."""
