"""The ECG wing: readers, lead names, preprocessing, measurements, noise, simulation and plotting; without torch."""
