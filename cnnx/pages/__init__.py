"""The equations as pages in every language: a site that needs no network and no script (extra `report`).

sheet       `cnnx/equations.md`, taken apart; places: where an equation stands in the code
site        all pages; equation, source, errata, networks: what is on them; templates: how it looks
demo        an output's elements, drawn, with their terms
code        lines of the real files: the reference's, the kernels', the tests'
worked      small calls, whose elements are explained; ox: D19's network; programs: what shows an erratum
homework    the page of `cnnx check`
api         links to the reference of names beside the site
picture     arrays as SVG; formula: LaTeX as MathML
"""
