"""Images to learn from: D19's o and x, scikit-learn's digits, MNIST, and the reader of IDX files."""

from ._dataset import Dataset, Split
from ._idx import read_idx
from ._sources import digits, mnist, ox_images

__all__ = ["Dataset", "Split", "digits", "mnist", "ox_images", "read_idx"]
