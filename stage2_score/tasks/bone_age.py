"""Pictures of growing hands -> bone age, what the backbones pretrain on."""

from __future__ import annotations

import pandas as pd

from stage2_score.tasks.base import PictureTask, Predict


class Age(PictureTask):
    """Crops, canvases or films of growing hands, with the sex if asked -> bone age."""

    outputs = ("age",)
    mean_months, sd_months = 0.0, 1.0

    def validate(self, predict: Predict) -> dict[str, float]:
        """Mean absolute error in months, of single pictures and of each film's mean."""
        age = self.predict(predict, self.held)["age"]
        error = pd.Series((age - self.pictures.fields["age"][self.held]) * self.sd_months)
        film = error.groupby(self.pictures.index.film_id.to_numpy()[self.held]).mean().abs().mean()
        return {"val_mae_months": float(error.abs().mean()), "val_film_mae_months": float(film), "criterion": float(film)}
