"""The ECG wing: files, leads, signals, measurements, simulation and drawing of ECGs; without torch."""
