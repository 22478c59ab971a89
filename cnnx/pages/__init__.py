"""The equations as pages: a site that needs no network and no script (extra `report`: jinja2, latex2mathml).

sheet     `cnnx/equations.md`, taken apart; places: where an equation stands in the code
"""
