"""Data brought in from elsewhere: every format read into one schema (`schema`), with a report."""
