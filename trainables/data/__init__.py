"""What a dataset is: an HDF5 file of images and their factors, made once and read memory-mapped."""
