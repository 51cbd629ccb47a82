"""report.sections.films: a film's tile shows only the surroundings of the joints."""

import numpy as np
import pandas as pd

from report.sections import films


def test_a_film_is_shown_only_around_its_joints():
    grey = np.full((400, 300), 90, np.uint8)
    grey[:40] = grey[-40:] = 255  # burnt-in text
    grey[88:110, 88:100] = grey[88:140, 215:232] = 255  # text in the corners of the joints' bounding box
    boxes = {"x_px": [150.0, 200.0, 120.0], "y_px": [120.0, 250.0, 260.0], "w_px": 40.0, "h_px": 40.0, "source": "model"}
    tile = films.overlay(grey, pd.DataFrame(boxes))
    photograph = (tile[..., 0] == tile[..., 1]) & (tile[..., 1] == tile[..., 2])  # the boxes are coloured
    assert tile[photograph].max() <= 130 and tile.shape[1] == films.FILM_PX
    outside = pd.DataFrame(boxes | {"x_px": [150.0, 200.0, 9000.0], "source": ["model", "template", "outside"]})
    assert films.overlay(grey, outside).shape[0] < 3 * films.FILM_PX  # a joint beyond the film does not widen the tile
