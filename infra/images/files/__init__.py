"""Programs that run inside images. Standard library only: an image holds nothing else of ours."""
