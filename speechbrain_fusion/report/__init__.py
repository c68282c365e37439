"""What a person looks at and listens to after a run."""

from speechbrain_fusion.report.comparison import write_comparison
from speechbrain_fusion.report.page import write_page
from speechbrain_fusion.report.run import write_report

__all__ = ["write_comparison", "write_page", "write_report"]
