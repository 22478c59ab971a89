"""What benchmarks/vs_peers.py is made of: the figures, how each framework computes them, how they are measured."""
