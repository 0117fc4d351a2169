"""Fine-tuning: an encoder and a head learn a label set."""
