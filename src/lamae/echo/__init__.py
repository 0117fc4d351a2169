"""The echo wing: empty until its readers come. It and the ECG wing never import each other."""
