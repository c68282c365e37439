"""Settings of the documentation: sphinx-build -W --keep-going -n -b html docs OUT.

Nothing is fetched from anywhere: equations become MathML, names of other packages are
linked by the table in `_ext/external.py`.
"""

import sys
from pathlib import Path

import speechbrain_fusion

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "speechbrain-fusion"
author = "The speechbrain-fusion contributors"
copyright = author
version = release = speechbrain_fusion.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "myst_parser",
    "api_group",
    "changes",
    "docstrings",
    "external",
    "mathml",
    "readme",
]
exclude_patterns = ["_build", "**/_*"]
nitpicky = True

# -- pages in Markdown -------------------------------------------------------------

myst_enable_extensions = ["amsmath", "attrs_block", "deflist", "dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

# -- docstrings --------------------------------------------------------------------

autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_maximum_signature_line_length = 72
python_use_unqualified_type_names = True
napoleon_google_docstring = False
# argument types are words ("str, optional"), not names to be linked
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_custom_sections = ["Source", ("Attributes", "params_style")]
# a name that is found is a link, another one is code
default_role = "py:obj"

# -- HTML --------------------------------------------------------------------------

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_domain_indices = False
html_theme_options = {"navigation_with_keys": True}
