"""How the embedded model `pixart-emoji` was made and how it is measured.

`prepare` turns two npm packages into images and captions, `train` turns those into a
PixArt pipeline, `evaluate` measures the pipeline and `contact_sheet` draws it.
"""
