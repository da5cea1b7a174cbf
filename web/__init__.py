"""The page that segments in the browser: its source, how it is built and served."""
