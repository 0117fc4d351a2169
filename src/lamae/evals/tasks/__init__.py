"""Tasks: labelled studies, and which of them are trained on, selected on and tested on."""
