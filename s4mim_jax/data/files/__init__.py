"""What image and mask files are, and how their pixels are read."""
