"""Images with what is true of them, and the files that hold them."""
