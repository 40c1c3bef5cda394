"""The preference study: people say which of two or three pictures is better, and do not know which method made them.

`plan` decides what is asked, `build` makes the study's folder, `server` and `bundle` show it to raters, `votes` keeps
their answers, `ballots` joins answers and plan, `figures` and `report` evaluate them.
"""
