"""Production shapes: some elements of a large layer, held against their equations."""
