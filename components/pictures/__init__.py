"""Pictures: image files and masks from outside, read within limits, mended and written."""
