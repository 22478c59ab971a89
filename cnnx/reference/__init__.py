"""The published equations as Python, one element at a time. Never made fast."""
