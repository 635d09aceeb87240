"""Who is who from image to image, how they move, and what a moving person looks like between two images."""
