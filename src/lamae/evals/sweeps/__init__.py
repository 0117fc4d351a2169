"""Sweeps: one system judged many times, with more and more labels or with less and worse signal."""
