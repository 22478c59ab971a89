"""What is right: the equations on exact numbers, and how far from them a correct result may be."""
