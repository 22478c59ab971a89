"""Search: structured random cases, beside the fixed ones, of which some elements are held against their equations.

sizes     which extents are drawn: those at which kernels change their ways
draws     one case in the making: what was chosen, setting by setting
spaces    how a case of an op is drawn
places    which elements of an output are judged
corners   which settings met, two by two, and which never did
standing  cases that come before those that are drawn: kinds that libraries were wrong at
search    the loop: draw, steer, judge, shrink
"""
