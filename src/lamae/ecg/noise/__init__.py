"""Noise and artefacts of ECG recordings, and noise of a given SNR on prepared ECGs."""
