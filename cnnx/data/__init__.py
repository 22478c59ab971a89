"""Images to learn from: D19's o and x, scikit-learn's digits, MNIST; the reader of IDX files; what changes images."""

from ._augment import Augmentation, rotate_images, shift_images
from ._dataset import Dataset, Split
from ._idx import read_idx
from ._sources import digits, mnist, ox_images
from ._standardize import Standardizer

__all__ = [
    "Augmentation",
    "Dataset",
    "Split",
    "Standardizer",
    "digits",
    "mnist",
    "ox_images",
    "read_idx",
    "rotate_images",
    "shift_images",
]
