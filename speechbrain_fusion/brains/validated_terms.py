"""Enhancement whose losses are watched one by one in validation too."""

from typing import Any

import speechbrain as sb

from speechbrain_fusion.brains.enhancement import EnhancementBrain
from speechbrain_fusion.data.batch import Batch


class ValidatedTerms(EnhancementBrain):
    """An `EnhancementBrain` that also remembers the losses of each validation."""

    def compute_objectives(
        self, predictions: Any, batch: Batch, stage: sb.Stage
    ) -> Any:
        """Return what training descends on."""
        if stage != sb.Stage.VALID:
            return super().compute_objectives(predictions, batch, stage)
        terms = self.compute_terms(predictions, batch)
        self.means.add(terms, self.counted)
        return self.combine(terms, stage)
