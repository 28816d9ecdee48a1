"""Image and image-text data sets, splits and augmentation."""
