"""What electrodes pick up besides the heart, and noise of a stated strength on prepared ECGs."""
