"""ONNX to networks: the file (file), what is constant in it (fold), its operators as layers (table and those that it
names), and the network that they make (network)."""
