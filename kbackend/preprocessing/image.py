"""Images: the same functions as in `kbackend.utils`, and `smart_resize`."""

from kbackend.utils.images import array_to_img, img_to_array, load_img, save_img
from kbackend.utils.resample import smart_resize

__all__ = ["array_to_img", "img_to_array", "load_img", "save_img", "smart_resize"]
