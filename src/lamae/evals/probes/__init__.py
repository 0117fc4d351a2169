"""Probes: what can be learned from the labels on frozen features, and the hand-crafted control."""
