"""What was found and what was tested, and the forms in which that is written."""
