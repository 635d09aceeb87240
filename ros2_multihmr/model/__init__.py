"""The network: ViT backbone, camera rays and the Human Perception Head."""
