"""Shows results: tables on the console, in Markdown and HTML, plots, and two runs side by side."""
