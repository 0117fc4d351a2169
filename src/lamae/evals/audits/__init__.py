"""Audits: how much of a pretext task can be solved without knowing anything of hearts."""
