"""`hemline report`: one HTML page that shows what the models learned, to people who are no experts.

`page` is the document, `story` the order of its sections; each section has a module of its own.
"""
