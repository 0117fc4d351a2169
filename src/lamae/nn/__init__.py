"""Building blocks of the models: patches, normalisation, masks, attention, transformers, positions."""
