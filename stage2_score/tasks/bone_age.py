"""Pictures of growing hands -> bone age: the task on which backbones are pretrained."""

from __future__ import annotations

import pandas as pd

from stage2_score.tasks.base import PictureTask, Predict


class Age(PictureTask):
    """Crops, canvases or films of growing hands, and the child's sex if configured -> standardised bone age."""

    outputs = ("age",)
    mean_months, sd_months = 0.0, 1.0

    def validate(self, predict: Predict) -> dict[str, float]:
        """Mean absolute error in months, of single pictures and of each film's mean."""
        age = self.predict(predict, self.val_rows)["age"]
        error = pd.Series((age - self.pictures.fields["age"][self.val_rows]) * self.sd_months)
        film_ids = self.pictures.index.film_id.to_numpy()[self.val_rows]
        film = error.groupby(film_ids).mean().abs().mean()
        return {"val_mae_months": float(error.abs().mean()), "val_film_mae_months": float(film), "criterion": float(film)}
