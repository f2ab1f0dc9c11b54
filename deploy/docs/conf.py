"""What Sphinx is told. The pages it is given are put together by assemble.py."""

project = "Doorward"
author = "The Doorward project"
project_copyright = author
extensions = ["myst_parser"]
myst_heading_anchors = 4
# Blocks without a language are commands and output, not Python.
highlight_language = "text"
html_theme = "furo"
html_title = "Doorward"
html_static_path: list[str] = ["static"]
html_css_files = ["wide.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options: dict[str, list[str]] = {"top_of_page_buttons": []}
# Examples of requests are shortened where a program would not: that is no fault of the page.
suppress_warnings = ["misc.highlighting_failure", "toc.not_included"]
